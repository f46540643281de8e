import type { Host } from './host.ts'

/** Paths of one call, so that its arguments are never too long. */
const most = 500

/**
 * The identity of files, device and inode, by path: equal for all paths and hard links of one file. Links are followed;
 * paths that lead to nothing are left out.
 */
export async function fileIds(host: Host, paths: string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const all = [...new Set(paths)]
  for (let from = 0; from < all.length; from += most) {
    const words = ['-L', String.raw`--printf=%d:%i %n\0`, '--', ...all.slice(from, from + most)]
    // It fails for a path that is not there, and tells of the others.
    const { stdout } = await host.run('stat', words)
    for (const line of stdout.split('\0').filter(Boolean)) {
      const gap = line.indexOf(' ')
      found.set(line.slice(gap + 1), line.slice(0, gap))
    }
  }
  return found
}
