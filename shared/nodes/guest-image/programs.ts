import { dirname } from 'node:path'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '../host/host.ts'
import type { CpioEntry } from './cpio.ts'

/** A program of a host, or of an unpacked package on it, and its place in the guest. */
export type Program = { path: string; from: string }

/**
 * Files of an initrd for programs that are linked dynamically: the programs, their libraries from the host, and the folders
 * of both.
 * @throws UnavailableError when a library is missing
 */
export async function programFiles(host: Host, programs: readonly Program[]): Promise<CpioEntry[]> {
  const libraries = new Set<string>()
  for (const { from } of programs) {
    const { stdout } = await host.runChecked('ldd', [from])
    const missing = [...stdout.matchAll(/^\s*(\S+) => not found$/gm)].map(([, name]) => name)
    if (missing.length > 0)
      throw new UnavailableError(`${host.describe()} lacks libraries of ${from}: ${missing.join(', ')}`)
    for (const [, path] of stdout.matchAll(/(\/\S+) \(0x/g)) libraries.add(path!)
  }
  const files = [...programs, ...[...libraries].map((from) => ({ path: from.slice(1), from }))]
  const folders = new Set(files.flatMap(({ path }) => parents(path)))
  const read = async ({ path, from }: Program): Promise<CpioEntry> => ({
    path,
    mode: 0o100755,
    data: await host.readFile(from),
  })
  return [...[...folders].map((path) => ({ path, mode: 0o040755 })), ...(await Promise.all(files.map(read)))]
}

/** All parents of a path: `lib/x86/a` has `lib` and `lib/x86`. */
function parents(path: string): string[] {
  const folder = dirname(path)
  return folder === '.' ? [] : [...parents(folder), folder]
}
