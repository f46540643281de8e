import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LabHost } from './hosts.ts'

/** A bridge on a lab host, for guests' NICs; it goes with the host. */
export async function haveBridge({ netns }: LabHost, name: string): Promise<void> {
  const ip = (...words: string[]) => localHost().run('ip', ['-n', netns, 'link', ...words])
  if ((await ip('show', name)).code !== 0) await ip('add', name, 'type', 'bridge')
  const { code, stderr } = await ip('set', name, 'up')
  if (code !== 0) throw new Error(stderr)
}
