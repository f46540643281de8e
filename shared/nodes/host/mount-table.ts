import type { Host } from './host.ts'

/**
 * A mounted file system, as the kernel lists it. `root`: the folder of the file system that is at `path`. `type`: such as
 * `ext4`. `options`: those of the file system, such as `rw`.
 */
export type Mounted = { path: string; root: string; type: string; source: string; options: string[] }

/** Space, tab, newline and backslash are octal in the kernel's list, proc(5), as in fstab(5). */
export const decodePath = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)))

/** A path as the kernel's list and fstab(5) have it. */
export const encodePath = (path: string): string =>
  path.replaceAll(/[ \t\n\\]/g, (character) => `\\${character.codePointAt(0)!.toString(8).padStart(3, '0')}`)

/** Reads lines of /proc/self/mountinfo, proc_pid_mountinfo(5). */
export function mountsIn(text: string): Mounted[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [fields = '', more = ''] = line.split(' - ')
      const [, , , root = '', path = ''] = fields.split(' ')
      const [type = '', source = '', options = ''] = more.split(' ')
      return {
        path: decodePath(path),
        root: decodePath(root),
        type,
        source: decodePath(source),
        options: options.split(','),
      }
    })
}

/** Reads the mounted file systems. No file system is touched, so that one that hangs stops nothing here. */
export const mountsOf = async (host: Host): Promise<Mounted[]> =>
  mountsIn((await host.readFile('/proc/self/mountinfo')).toString())

/** The file system that is mounted at a path; of several, the topmost. */
export const mountedAt = (mounts: Mounted[], path: string): Mounted | undefined =>
  mounts.findLast((mount) => mount.path === path)

/** The file system in which a path is. */
export const mountOf = (mounts: Mounted[], path: string): Mounted | undefined =>
  mounts
    .filter((mount) => path === mount.path || path.startsWith(mount.path === '/' ? '/' : `${mount.path}/`))
    .reduce<Mounted | undefined>(
      (best, mount) => (best && best.path.length > mount.path.length ? best : mount),
      undefined,
    )
