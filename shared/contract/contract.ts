import type { Static, TObject, TSchema } from 'typebox'
import type { AuditKind } from '#shared/contract/audit-kinds.ts'
import type { Privilege } from '#shared/access/privileges.ts'

type Verb = 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * Who may: `anyone`, whoever is `signed-in`, only another `service`, or a privilege on the path of the resource, whose
 * `{id}` is filled in from the parameters. A list says `signed-in` and names in `itemAccess` what each item takes.
 */
export type Access = 'anyone' | 'signed-in' | 'service' | OnPath
export type OnPath = `${Privilege} on /${string}`

/** The services that there are; each has an identity of its own on the bus. */
export type ServiceName = 'gateway' | 'auth' | 'audit' | 'cluster' | 'storage' | 'vm'

/** For other services only. `callers` names those that call it; the bus lets nobody else. */
type ForServices = { can: 'service'; callers: readonly ServiceName[] | 'all'; rest?: never }

type Common = {
  /** One sentence in the imperative, for people: "Start a VM". */
  does: string
  can: Access
  /** Counts instead of `can` when the parameter in its path is given: what is made inside of something else. */
  canInside?: OnPath
  params: TObject
  result: TSchema
  /** The HTTP status of success, when it is not 200 (or 202 for an operation). */
  status?: 201 | 204
  /** Secrets of the parameters or the result, for the log's redaction and the audit. */
  secret?: readonly string[]
}

/** Asks and changes nothing. A question too long for a URL is asked by POST. */
export type Query = Common & {
  rest?: `GET /${string}` | `POST /${string}`
  itemAccess?: OnPath
  /** The collections that, with the caller's rights, alone decide the answer: until one changes it stays the same. */
  cachedFrom?: readonly string[]
  /** The answer holds more than its record, such as what was measured: its ETag tells the version and what it says. */
  computed?: true
}

/**
 * Changes something, and is on record for it. An operation answers 202 and works on in the background; one that only
 * other services start has no route.
 */
export type Change = Common & { audit: AuditKind; operation?: true } & (
    | { rest: `${Verb} /${string}` }
    | (ForServices & { operation: true })
  )

/** Between services only: no route, no audit record. */
export type Internal = Common & ForServices

export type Action = Query | Change | Internal
export type Contract<N extends string = string, A extends Record<string, Action> = Record<string, Action>> = {
  name: N
  actions: A
}
export type Params<C extends Contract, K extends keyof C['actions']> = Static<C['actions'][K]['params']>
export type Result<C extends Contract, K extends keyof C['actions']> = Static<C['actions'][K]['result']>

/** Everything the platform knows about a resource: validation, types, routes, OpenAPI, permission and audit come from it. */
export function contract<const N extends string, const A extends Record<string, Action>>(
  name: N,
  actions: A,
): Contract<N, A> {
  return { name, actions }
}

export const isChange = (action: Action): action is Change => 'audit' in action
export const isOperation = (action: Action): action is Change => isChange(action) && action.operation === true

const pieces = new Map<string, string[]>()

/** `/vms/{id}/disks` as its literal pieces and between them the names of what is to be filled in. */
function piecesOf(path: string): string[] {
  const known = pieces.get(path)
  if (known) return known
  const made = path.split(/\/\{(\w+)\}/)
  pieces.set(path, made)
  return made
}

/**
 * `/vms/{id}` and `{ id: '7' }` make `/vms/7`; a part that is not known yet is left out with its slash, and so is what
 * cannot name anything: nobody has looked at the parameters yet when it is asked who may what.
 */
export function fillPath(path: string, params: Record<string, unknown>): string {
  let filled = ''
  for (const [index, piece] of piecesOf(path).entries()) {
    if (index % 2 === 0) filled += piece
    else if (isName(params[piece])) filled += `/${encodeURIComponent(params[piece].toWellFormed())}`
  }
  return filled
}

const isName = (value: unknown) => typeof value === 'string'

const takenApart = new Map<OnPath, { privilege: Privilege; path: string }>()

/** Who may do it with these parameters. */
export function accessOf({ can, canInside }: Action, params: Record<string, unknown>): Access {
  if (canInside === undefined) return can
  const keys = piecesOf(canInside).filter((_, index) => index % 2 === 1)
  return keys.every((key) => params[key] !== undefined) ? canInside : can
}

/** `'VmAudit on /api/vms/{id}'` taken apart. */
export function onPath(access: OnPath): { privilege: Privilege; path: string } {
  const known = takenApart.get(access)
  if (known) return known
  const [privilege, path] = access.split(' on ') as [Privilege, string]
  const made = { privilege, path }
  takenApart.set(access, made)
  return made
}
