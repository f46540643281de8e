import { type Privilege, privileges } from '#shared/access/privileges.ts'

/** A grant with its role resolved to privileges. */
export type Right = { path: string; privileges: readonly Privilege[] }

/** Rights compiled for many checks: a trie over the segments of the paths. */
export type Rights = { allows: (privilege: Privilege, path: string) => boolean; all: boolean; rights: Right[] }

/** Which items of a list a caller may see: all of them, or those whose id passes. */
export type MaySee = { all: boolean; item: (id: string) => boolean }

/** Privileges as bit sets: on exactly this path, on it and one level below, on it and everything below. */
type Node = { exact: number; one: number; any: number; next: Map<string, Node> }

const emptyNode = (): Node => ({ exact: 0, one: 0, any: 0, next: new Map() })
const bits = new Map(privileges.map((privilege, i) => [privilege, 1 << i]))

/** Splits `/api/vms/7` into `['api', 'vms', '7']`. `/api/v1/…` names the same resources. */
const segments = (path: string) => unversioned(path).split('/').filter(Boolean)

const version = '/api/v1'

function unversioned(path: string) {
  return path.startsWith(version) && (path.length === version.length || path[version.length] === '/')
    ? `/api${path.slice(version.length)}`
    : path
}

/**
 * Compiles rights into a trie. Paths of grants: `/` is everything; `/api/vms/*` is the collection and its direct
 * children; `/api/vms/**` is the collection and everything below it; any other path is exactly that resource.
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

/**
 * Walks the trie along the path without splitting the path first: this runs for each request and each item of a list.
 */
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

/**
 * The caller of an action. The gateway makes `anonymous` and `user` from credentials; services name themselves on the
 * bus.
 */
export type Caller =
  | { kind: 'anonymous'; address: string }
  | {
      kind: 'user'
      user: string
      /** Name of the compiled rights, see service/rights.ts. */ rights: string
      address: string
      credential: CredentialRef
      /** Time after which credential and rights are checked again. Milliseconds since the epoch. */ until?: number
    }
  | {
      kind: 'service'
      name: string
      /** The user on whose behalf the service works. */ user?: string
      address?: string
    }

/**
 * Reference to the credential of a user: the id of a session, or the public id of an API key. `signed_by` is the id of
 * the key that signed a token; `restricted` marks an API key that has only some of its user's rights.
 */
export type CredentialRef = {
  by: 'session' | 'token' | 'api_key'
  id: string
  signed_by?: string
  restricted?: boolean
}

/** The id of the caller's API key, if that key has fewer rights than its user. */
export function restrictedKeyOf(caller: Caller): string | undefined {
  return caller.kind === 'user' && caller.credential.restricted ? caller.credential.id : undefined
}

/** Checks that the caller began an operation. A restricted API key counts only for operations that it began itself. */
export function isBegunBy(caller: Caller, { user, api_key }: { user: string; api_key?: string | undefined }): boolean {
  const key = restrictedKeyOf(caller)
  return user === subjectOf(caller) && (key === undefined || key === api_key)
}

/**
 * A service as the caller, with all rights. It keeps the user and address of the original caller, for the audit and for
 * operations that it starts.
 */
export function asService(name: string, on?: Caller): Caller {
  if (!on || on.kind === 'anonymous') return { kind: 'service', name }
  const { user, address } = on
  return { kind: 'service', name, ...(user !== undefined && { user }), ...(address !== undefined && { address }) }
}

/** The name of a caller in messages, logs and the audit: the user, else `service:` and the service's name. */
export function subjectOf(caller: Caller): string {
  if (caller.kind === 'anonymous') return 'anonymous'
  return caller.user ?? `service:${(caller as { name: string }).name}`
}
