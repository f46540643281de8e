import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LabHost } from './hosts.ts'
import { insideOf } from './inside.ts'

/**
 * Takes a folder of shared storage away from a lab host: its files are gone there, and a read of one of them hangs, as on
 * storage that does not answer. Programs that have opened files keep them.
 * @returns a function that gives it back; a second call does nothing
 */
export async function takeStorage(host: LabHost, folder: string, hanging: string): Promise<() => Promise<void>> {
  const inside = await insideOf(host)
  const run = (...words: string[]) => localHost().runChecked('nsenter', [...inside, ...words])
  const pipe = join(folder, hanging)
  await run('mount', '-t', 'tmpfs', 'none', folder)
  await run('mkfifo', pipe)
  let isAway = true
  return async () => {
    if (!isAway) return
    isAway = false
    // A read that hangs ends, as it does when storage answers again.
    await run('sh', '-c', ': <>"$0"', pipe)
    await run('umount', '-l', folder)
  }
}
