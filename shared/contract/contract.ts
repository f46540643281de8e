import type { Static, TObject, TSchema, TUnsafe } from 'typebox'
import type { AuditKind } from '#shared/contract/audit-kinds.ts'
import type { Possible } from '#shared/contract/possible.ts'
import type { Privilege } from '#shared/access/privileges.ts'

type Verb = 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * Access to an action: `anyone`, any caller that is `signed-in`, only another `service`, or a privilege on the path of
 * the resource, whose `{id}` is filled in from the parameters. A list has `signed-in` and names in `itemAccess` the
 * right needed for each item.
 */
export type Access = 'anyone' | 'signed-in' | 'service' | OnPath
export type OnPath = `${Privilege} on /${string}`

/** All services. Each has its own identity on the bus. */
export type ServiceName =
  | 'gateway'
  | 'auth'
  | 'audit'
  | 'cluster'
  | 'storage'
  | 'vm'
  | 'container'
  | 'migration'
  | 'metrics'

/** An action for other services. `callers` lists the services that call it; the bus permits no other. */
type ForServices = { can: 'service'; callers: readonly ServiceName[] | 'all'; rest?: never }

type Common = {
  /** Summary: one sentence in the imperative, such as "Start a VM". */
  does: string
  can: Access
  /**
   * Replaces `can` if the parameter in this path is given: for resources made inside another one, such as a VM in a
   * resource pool.
   */
  canInside?: OnPath
  /** An object, or a union of objects that a field tells apart. */
  params: TObject | TUnsafe<object>
  result: TSchema
  /** HTTP status of success, if it is not 200 (or 202 for an operation). */
  status?: 201 | 204
  /** Secret fields of the parameters or the result, removed from logs and the audit. */
  secret?: readonly string[]
}

/** A read-only action. A query too long for a URL is sent by POST. */
export type Query = Common & {
  rest?: `GET /${string}` | `POST /${string}`
  itemAccess?: OnPath
  /**
   * The answer has more than the stored record, such as measured values: its ETag is made from the version and the
   * content.
   */
  computed?: true
}

/**
 * An action that changes state and is audited. An operation answers 202 and runs in the background; an operation that
 * only other services start has no route. `plan`: the answer of an operation whose parameter `plan` is true, which changes
 * nothing then. `possible`: the states of the resource in which it can be done.
 */
export type Change = Common & { audit: AuditKind; operation?: true; plan?: TSchema; possible?: Possible } & (
    | { rest: `${Verb} /${string}` }
    | (ForServices & { operation: true })
  )

/** An action between services: it has no route and no audit record of its own. */
export type Internal = Common & ForServices

export type Action = Query | Change | Internal
export type Contract<N extends string = string, A extends Record<string, Action> = Record<string, Action>> = {
  name: N
  actions: A
}
export type Params<C extends Contract, K extends keyof C['actions']> = Static<C['actions'][K]['params']>
export type Result<C extends Contract, K extends keyof C['actions']> = Static<C['actions'][K]['result']>

/**
 * Defines the actions of a resource. Validation, types, routes, OpenAPI, access checks and audit are derived from it.
 */
export function contract<const N extends string, const A extends Record<string, Action>>(
  name: N,
  actions: A,
): Contract<N, A> {
  return { name, actions }
}

export const isChange = (action: Action): action is Change => 'audit' in action
export const isOperation = (action: Action): action is Change => isChange(action) && action.operation === true
/** True for a call that asks for the plan of an operation. */
export const isPlanOnly = (action: Action, params: unknown): boolean =>
  isOperation(action) && action.plan !== undefined && (params as { plan?: unknown }).plan === true

const pieces = new Map<string, string[]>()

/** Splits `/vms/{id}/disks` into literal pieces and the parameter names between them. */
function piecesOf(path: string): string[] {
  const known = pieces.get(path)
  if (known) return known
  const made = path.split(/\/\{(\w+)\}/)
  pieces.set(path, made)
  return made
}

/**
 * Fills `/vms/{id}` with `{ id: '7' }` to `/vms/7`. A missing parameter, or one that is no string, is left out with its
 * slash: access is checked before the parameters are validated.
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

const parsedAccess = new Map<OnPath, { privilege: Privilege; path: string }>()

/** The access rule that applies with these parameters: `canInside` if all its parameters are given, else `can`. */
export function accessOf({ can, canInside }: Action, params: Record<string, unknown>): Access {
  if (canInside === undefined) return can
  const keys = piecesOf(canInside).filter((_, index) => index % 2 === 1)
  return keys.every((key) => params[key] !== undefined) ? canInside : can
}

/** Parses `'VmAudit on /api/vms/{id}'`, with a cache. */
export function onPath(access: OnPath): { privilege: Privilege; path: string } {
  const known = parsedAccess.get(access)
  if (known) return known
  const [privilege, path] = access.split(' on ') as [Privilege, string]
  const made = { privilege, path }
  parsedAccess.set(access, made)
  return made
}
