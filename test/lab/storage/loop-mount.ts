import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { available } from '../requirements.ts'
import { until } from '../wait.ts'

export type LoopMount = { host: Host; folder: string; stop: () => Promise<void> }

/** Mounts a new file system in a file; null, said aloud, where its tools are missing. */
export async function loopMount(type: 'btrfs' | 'xfs', sizeBytes = 2 ** 30): Promise<LoopMount | null> {
  const host = localHost()
  const program = `mkfs.${type}`
  if (!available(type, (await host.which(program)) ? [] : [program])) return null
  const base = await mkdtemp(join(tmpdir(), `horcrux-${type}-`))
  const [file, folder] = [join(base, 'image'), join(base, 'mounted')]
  await host.runChecked('truncate', ['-s', String(sizeBytes), file])
  await host.runChecked(program, ['-q', file])
  await host.mkdir(folder)
  await host.runChecked('mount', ['-o', 'loop', file, folder])
  return {
    host,
    folder,
    stop: async () => {
      await until(async () => (await host.run('umount', [folder])).code === 0)
      await host.remove(base, { recursive: true })
      await host.close()
    },
  }
}
