import type { Reached } from '#shared/nodes/nodes.ts'

export type EngineKind = 'lxd' | 'incus'

/** Where the engines' sockets are: of Debian's packages, then of LXD's snap. */
const usual: Record<EngineKind, readonly string[]> = {
  lxd: ['/var/lib/lxd/unix.socket', '/var/snap/lxd/common/lxd/unix.socket'],
  incus: ['/var/lib/incus/unix.socket', '/run/incus/unix.socket'],
}

/** The engine's socket on a node: the one that its registration names, else a usual one; null when there is none. */
export async function socketOf({ node, host }: Reached, kind: EngineKind): Promise<string | null> {
  const named = node.engine_sockets[kind]
  for (const path of named ? [named] : usual[kind]) if ((await host.stat(path))?.kind === 'socket') return path
  return null
}
