import type { Privilege } from '#shared/privileges.ts'

/** What a grant comes down to once its role is looked up. */
export type Right = { path: string; privileges: readonly Privilege[] }

/** Rights compiled for many questions: a trie over the segments of the paths. */
export type Rights = { allows: (privilege: Privilege, path: string) => boolean; all: boolean; rights: Right[] }

type Node = { exact: Set<Privilege>; one: Set<Privilege>; any: Set<Privilege>; next: Map<string, Node> }

const emptyNode = (): Node => ({ exact: new Set(), one: new Set(), any: new Set(), next: new Map() })

/** The segments of `/api/vms/7`: `['api', 'vms', '7']`. `/api/v1/…` names the same resources. */
const segments = (path: string) =>
  path
    .replace(/^\/api\/v1(?=\/|$)/, '/api')
    .split('/')
    .filter(Boolean)

/**
 * Paths of grants: `/` is everything; `/api/vms/*` is the collection and what is directly in it; `/api/vms/**` is the
 * collection and all below it; anything else is exactly that resource.
 */
export function compileRights(rights: Right[]): Rights {
  const root = emptyNode()
  for (const { path, privileges } of rights) {
    const parts = segments(path)
    const wildcard = path === '/' || parts.at(-1) === '**' ? 'any' : parts.at(-1) === '*' ? 'one' : 'exact'
    let node = root
    for (const part of wildcard === 'exact' || path === '/' ? parts : parts.slice(0, -1)) {
      if (!node.next.has(part)) node.next.set(part, emptyNode())
      node = node.next.get(part)!
    }
    for (const privilege of privileges) node[wildcard].add(privilege)
  }
  return { rights, all: root.any.size > 0, allows: (privilege, path) => find(root, privilege, path) }
}

function find(root: Node, privilege: Privilege, path: string): boolean {
  const parts = segments(path)
  let node: Node | undefined = root
  for (let depth = 0; node; depth++) {
    const left = parts.length - depth
    if (node.any.has(privilege)) return true
    if (left <= 1 && node.one.has(privilege)) return true
    if (left === 0) return node.exact.has(privilege)
    node = node.next.get(parts[depth]!)
  }
  return false
}

/** Who makes a call. The gateway makes the first kinds out of credentials; services name themselves on the bus. */
export type Caller =
  | { kind: 'anonymous'; address: string }
  | {
      kind: 'user'
      user: string
      /** Names the compiled rights, see rights.ts. */ rights: string
      address: string
      proof: Proof
    }
  | { kind: 'service'; name: string; /** For whom it works. */ user?: string; address?: string }

/** How a user proved who they are, and with what: a session's id, an API key's public id. */
export type Proof = { by: 'session' | 'token' | 'api_key'; id: string }

/** A service with all rights; it remembers for whom it works, for the audit and the operations it starts. */
export function asService(name: string, on?: Caller): Caller {
  if (!on || on.kind === 'anonymous') return { kind: 'service', name }
  const { user, address } = on
  return { kind: 'service', name, ...(user !== undefined && { user }), ...(address !== undefined && { address }) }
}

/** How a caller is called in messages, logs and the audit: the user who is behind it, else the service itself. */
export function subjectOf(caller: Caller): string {
  if (caller.kind === 'anonymous') return 'anonymous'
  return caller.user ?? `service:${(caller as { name: string }).name}`
}
