import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { tool, toolUnless } from '../tool.ts'

export const btrfs = (host: Host, ...args: string[]): Promise<string> => tool(host, 'btrfs', args)

/** The UUID of a subvolume; null for a folder that is none. @throws NotFoundError when nothing is there */
export async function uuidOf(host: Host, path: string): Promise<string | null> {
  if (!(await host.stat(path)))
    throw new NotFoundError(`Folder '${path}' not found on ${host.describe()}`, { details: { kind: 'File', id: path } })
  const said = await toolUnless(host, /not a (btrfs )?(subvolume|filesystem)/i, 'btrfs', [
    'subvolume',
    'show',
    '--',
    path,
  ])
  return said === null ? null : (/^\s+UUID:\s+(\S+)$/m.exec(said)?.[1] ?? null)
}

/** Deletes a subvolume, on the disk when this returns: it may come back after a crash otherwise. One that is gone is fine. */
export async function deleteSubvolume(host: Host, path: string): Promise<void> {
  if (await host.stat(path)) await btrfs(host, 'subvolume', 'delete', '-c', '--', path)
}

/** Bytes of `btrfs filesystem usage -b`, by the first words of its lines. */
export async function spaceOf(host: Host, path: string) {
  const said = await btrfs(host, 'filesystem', 'usage', '-b', path)
  const number = (pattern: RegExp) => Number(pattern.exec(said)?.[1] ?? 0)
  const metadata = /^Metadata,\S+: Size:(\d+), Used:(\d+)/m.exec(said)
  return {
    unallocatedBytes: number(/Device unallocated:\s+(\d+)/),
    metadataBytes: Number(metadata?.[1] ?? 0),
    metadataUsedBytes: Number(metadata?.[2] ?? 0),
    usedBytes: number(/^\s+Used:\s+(\d+)/m),
  }
}

/** Bytes of a file that are its own, and those that it shares with others. */
export async function sharesOf(host: Host, path: string): Promise<{ totalBytes: number; exclusiveBytes: number }> {
  const lines = (await btrfs(host, 'filesystem', 'du', '--raw', '--', path)).trim().split('\n')
  const [totalBytes = 0, exclusiveBytes = 0] = (lines.at(-1) ?? '').trim().split(/\s+/).map(Number)
  return { totalBytes, exclusiveBytes }
}
