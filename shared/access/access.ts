import { type Privilege, privileges } from '#shared/access/privileges.ts'

/** What a grant comes down to once its role is looked up. */
export type Right = { path: string; privileges: readonly Privilege[] }

/** Rights compiled for many questions: a trie over the segments of the paths. */
export type Rights = { allows: (privilege: Privilege, path: string) => boolean; all: boolean; rights: Right[] }

/** Which items of a list a caller may see: all of them, or those whose id passes. */
export type MaySee = { all: boolean; item: (id: string) => boolean }

/** Privileges as bits: on exactly this path, on it and one level below, on it and everything below. */
type Node = { exact: number; one: number; any: number; next: Map<string, Node> }

const emptyNode = (): Node => ({ exact: 0, one: 0, any: 0, next: new Map() })
const bits = new Map(privileges.map((privilege, i) => [privilege, 1 << i]))

/** The segments of `/api/vms/7`: `['api', 'vms', '7']`. `/api/v1/…` names the same resources. */
const segments = (path: string) => unversioned(path).split('/').filter(Boolean)

const version = '/api/v1'

function unversioned(path: string) {
  return path.startsWith(version) && (path.length === version.length || path[version.length] === '/')
    ? `/api${path.slice(version.length)}`
    : path
}

/**
 * Paths of grants: `/` is everything; `/api/vms/*` is the collection and what is directly in it; `/api/vms/**` is the
 * collection and all below it; anything else is exactly that resource.
 */
export function compileRights(rights: Right[]): Rights {
  const root = emptyNode()
  for (const { path, privileges } of rights) {
    const parts = segments(path)
    const reach = path === '/' || parts.at(-1) === '**' ? 'any' : parts.at(-1) === '*' ? 'one' : 'exact'
    let node = root
    for (const part of reach === 'exact' || path === '/' ? parts : parts.slice(0, -1)) {
      if (!node.next.has(part)) node.next.set(part, emptyNode())
      node = node.next.get(part)!
    }
    for (const privilege of privileges) node[reach] |= bits.get(privilege)!
  }
  return { rights, all: root.any !== 0, allows: (privilege, path) => find(root, bits.get(privilege)!, path) }
}

/** Goes down the path without taking it apart first: this is asked for each request and each item of a list. */
function find(root: Node, bit: number, given: string): boolean {
  const path = unversioned(given)
  let node: Node | undefined = root
  for (let at = 0; node;) {
    if (node.any & bit) return true
    while (path[at] === '/') at++
    if (at >= path.length) return ((node.one | node.exact) & bit) !== 0
    const slash = path.indexOf('/', at)
    const end = slash < 0 ? path.length : slash
    if (node.one & bit && isLast(path, end)) return true
    node = node.next.get(path.slice(at, end))
    at = end
  }
  return false
}

function isLast(path: string, end: number): boolean {
  let at = end
  while (path[at] === '/') at++
  return at >= path.length
}

/** Who makes a call. The gateway makes the first kinds out of credentials; services name themselves on the bus. */
export type Caller =
  | { kind: 'anonymous'; address: string }
  | {
      kind: 'user'
      user: string
      /** Names the compiled rights, see rights.ts. */ rights: string
      address: string
      credential: CredentialRef
      /** When both have to be asked about again. Milliseconds. */ until?: number
    }
  | { kind: 'service'; name: string; /** For whom it works. */ user?: string; address?: string }

/**
 * How a user proved who they are, and with what: a session's id, an API key's public id. A token names the key that has
 * signed it; an API key says whether it has only some of its user's rights.
 */
export type CredentialRef = {
  by: 'session' | 'token' | 'api_key'
  id: string
  signed_by?: string
  restricted?: boolean
}

/** The API key with which a caller came who has fewer rights than its user. */
export function restrictedKeyOf(caller: Caller): string | undefined {
  return caller.kind === 'user' && caller.credential.restricted ? caller.credential.id : undefined
}

/** Whether it was the caller who began something: a restricted key only knows of what it has begun itself. */
export function isBegunBy(caller: Caller, { user, api_key }: { user: string; api_key?: string | undefined }): boolean {
  const key = restrictedKeyOf(caller)
  return user === subjectOf(caller) && (key === undefined || key === api_key)
}

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
