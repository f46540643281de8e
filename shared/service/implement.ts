import { hash } from 'node:crypto'
import type { Context, ServiceBroker, ServiceSchema } from 'moleculer'
import type { Static, TSchema } from 'typebox'
import { type Caller, type Rights, subjectOf } from '#shared/access/access.ts'
import { hashesOf, recordAudit } from '#shared/audit/audit.ts'
import type { Meta } from '#shared/bus/call.ts'
import {
  accessOf,
  type Action,
  type Change,
  type Contract,
  fillPath,
  isChange,
  isOperation,
  isPlanOnly,
  type OnPath,
  onPath,
  type Params,
  type Result,
} from '#shared/contract/contract.ts'
import { requestContext, requireCurrent, within } from '#shared/runtime/request-context.ts'
import { AppError, AuthenticationError, ForbiddenError, LateCallError, NotFoundError } from '#shared/errors.ts'
import { idOfSeed } from '#shared/ids.ts'
import type { Call, Reply } from '#shared/runtime/handler.ts'
import { maySpeak } from '#shared/bus/identity/service-permissions.ts'
import { identityOf } from '#shared/bus/identity/subjects.ts'
import { histogram } from '#shared/runtime/measures.ts'
import { log, logFields } from '#shared/runtime/log.ts'
import { jsonOf } from '#shared/db/cache/preserialized.ts'
import { hasRemoved } from '#shared/db/removal-marks.ts'
import { pickerOf } from '#shared/contract/fields.ts'
import { acceptOperation } from '#shared/operation/accept.ts'
import { requireCurrentRun } from '#shared/operation/lease.ts'
import { type OperationHandler, registerKind } from '#shared/operation/kinds.ts'
import { withVerbs } from '#shared/service/item-verbs.ts'
import { maySeeOf } from '#shared/service/may-see.ts'
import { rightsOf } from '#shared/service/rights.ts'
import { guardOf, requireWaitedFor } from '#shared/service/try-guard.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { check } from '#shared/contract/validate.ts'

type Handler<C extends Contract, K extends keyof C['actions']> = C['actions'][K] extends { operation: true }
  ? OperationHandler<Params<C, K>, Result<C, K>> & Planned<C['actions'][K], Params<C, K>>
  : (params: Params<C, K>, call: Call) => Promise<Result<C, K>>
type Planned<A, P> = A extends { plan: infer S extends TSchema }
  ? { plan: (params: P, call: Call) => Promise<Static<S>> }
  : unknown
type Handlers<C extends Contract> = { [K in keyof C['actions']]: Handler<C, K> }

type Incoming = Context<Record<string, unknown>, Meta> & { broker: ServiceBroker }
type Plain = (params: unknown, call: Call) => Promise<unknown>

/** The Moleculer service of a contract. A missing or misspelt handler does not compile. */
export function implement<C extends Contract>(contract: C, handlers: Handlers<C>): ServiceSchema {
  const actions = Object.entries(contract.actions).map(([key, action]) => {
    const name = `${contract.name}.${key}`
    const handler = handlers[key as keyof C['actions']] as unknown
    if (isOperation(action)) registerKind(name, contract.name, action, handler as OperationHandler)
    const work: Plain = isOperation(action)
      ? (params, call) => operate(name, action, handler as OperationHandler, params, call)
      : (handler as Plain)
    return [key, { handler: (ctx: Incoming) => answer(name, contract, action, work, ctx) }] as const
  })
  // Moleculer's type of a handler is narrower than the context that it passes.
  return { name: contract.name, actions: Object.fromEntries(actions) } as unknown as ServiceSchema
}

/** Starts an operation, or answers with its plan. */
function operate(name: string, action: Action, { plan }: OperationHandler, params: unknown, call: Call) {
  return plan && isPlanOnly(action, params) ? plan(params, call) : acceptOperation(name, params, call)
}

const actions = histogram('horcrux_action_duration_seconds', 'Actions of services, by their outcome')

/** Measures how long an action takes. */
async function answer(name: string, contract: Contract, action: Action, work: Plain, ctx: Incoming): Promise<unknown> {
  const begin = performance.now()
  let outcome = 'ok'
  try {
    return await answered(name, contract, action, work, ctx)
  } catch (error) {
    outcome = error instanceof AppError ? error.error.toLowerCase() : 'bug'
    throw error
  } finally {
    actions({ action: name, outcome }, (performance.now() - begin) / 1000)
  }
}

/** Authorises, checks, works, writes the audit record, answers: in this order, for every action. */
async function answered(
  name: string,
  contract: Contract,
  action: Action,
  work: Plain,
  ctx: Incoming,
): Promise<unknown> {
  const { name: service } = contract
  const { caller, requestId = 'none', ifMatch, ifPlan, idempotency, operationId, fence, bytes, try: attempt } = ctx.meta
  if (!caller) throw new AuthenticationError('A call on the bus must carry its caller')
  const context = {
    broker: ctx.broker,
    service,
    caller,
    requestId,
    ...(isChange(action) && { changed: new Map() }),
    ...(ifMatch !== undefined && { ifMatch }),
    ...(ifPlan !== undefined && { ifPlan }),
    ...(operationId !== undefined && caller.kind === 'service' && { operationId }),
    ...(idempotency !== undefined && {
      idempotency: { seed: idempotency, count: 0, changes: new Map(), marksRemovals: isPlainDelete(action) },
    }),
    ...(fence && { calledBy: fence }),
    ...(attempt && {
      call: { id: attempt.call, number: attempt.number },
      requireCurrent: guardOf(attempt, fence),
    }),
  }
  return within(context, () =>
    logFields.run({ request_id: requestId }, async () => {
      const record: Call['record'] = {}
      const onRecord = recorder(name, action, ctx.params, caller, requestId, record)
      try {
        requireSender(name, action, caller, ctx)
        if (ctx.meta.deadline !== undefined) requireWaitedFor(ctx.meta.deadline)
        await requireCurrent()
        const rights = await rightsOf(caller)
        authorize(action, ctx.params, caller, rights)
        if (fence && !action.rest?.startsWith('GET')) await requireCurrentRun(fence)
        const params = check<Record<string, unknown>>(action.params, ctx.params)
        const pick = pickerOf(action.result, params['fields'])
        const reply: Reply = {}
        const call = { caller, requestId, rights, maySee: maySeeOf(action, rights), reply, record }
        const result = await work(params, call).catch(isGoneAlready(action, ctx.meta))
        if (!isOperation(action)) await onRecord('success', result)
        Object.assign(ctx.meta, reply)
        const asked = params['can'] === 1 ? withVerbs(contract, action, result, params, rights) : result
        return pack(ctx.meta, bytes, pick ? pick(asked) : asked, 'computed' in action)
      } catch (error) {
        // Nothing was done, and its sender has another answer by now.
        if (error instanceof LateCallError) throw error
        // A failure that comes from being late is none: another replica has done the work.
        await requireCurrent()
        if (!(error instanceof AppError)) log(service).error({ err: error, action: name }, 'a bug: unexpected error')
        await onRecord(error instanceof ForbiddenError ? 'denied' : 'failure', undefined, error as Error)
        throw error
      }
    }),
  )
}

const isPlainDelete = (action: Action): boolean => action.rest?.startsWith('DELETE') === true && !isOperation(action)

/**
 * NotFound in a plain DELETE means success if an earlier try of the call removed the record and its answer was lost. An
 * operation finds itself by its id instead.
 */
const isGoneAlready =
  (action: Action, { idempotency }: Meta) =>
  async (error: unknown): Promise<null> => {
    const mayBeDone = isPlainDelete(action) && error instanceof NotFoundError && idempotency !== undefined
    if (mayBeDone && (await hasRemoved(idempotency))) return null
    throw error
  }

/** @throws ForbiddenError when another process calls in the name of a caller that it may not speak for */
function requireSender(name: string, action: Action, caller: Caller, { nodeID, broker }: Incoming): void {
  if (!nodeID || nodeID === broker.nodeID) return
  const from = identityOf(nodeID)
  if (!maySpeak(from, name, action, caller))
    throw new ForbiddenError(`The service '${from}' may not call ${name} as '${subjectOf(caller)}'`)
}

/** @throws AuthenticationError or ForbiddenError when the contract's `can` does not hold */
export function authorize(action: Action, params: Record<string, unknown>, caller: Caller, rights: Rights): void {
  const can = accessOf(action, params)
  if (can === 'anyone' || caller.kind === 'service') return
  if (caller.kind === 'anonymous')
    throw new AuthenticationError('Sign in first: no valid session, token or API key came with the request')
  if (can === 'signed-in') return
  if (can === 'service') throw new ForbiddenError('This action is for services only')
  const { privilege, path } = onPath(can)
  requireRight({ caller, rights }, privilege, fillPath(path, params))
}

type Outcome = 'success' | 'failure' | 'denied'

/** Writes the audit record: of every change, however it ends; of a question only when it was denied. */
function recorder(
  name: string,
  action: Action,
  params: Record<string, unknown>,
  caller: Caller,
  requestId: string,
  record: Call['record'],
) {
  return async (result: Outcome, made?: unknown, error?: Error) => {
    if (!isChange(action) && result !== 'denied') return
    const kind = result === 'denied' ? 'permission_denied' : (record.kind ?? (action as Change).audit)
    const path = resourceOf(action, { ...(made as object | null), ...params })
    const { idempotency, changed } = requestContext() ?? {}
    await recordAudit({
      // A change that is repeated is on record once; each refusal of it is.
      ...(idempotency && result === 'success' && { id: idOfSeed(idempotency.seed, `audit ${name}`) }),
      caller,
      kind,
      path,
      action: name,
      result,
      request_id: requestId,
      message: error?.message ?? null,
      ...hashesOf(changed),
      ...(record.user !== undefined && { user: record.user }),
      ...(record.severity && { severity: record.severity }),
    })
  }
}

/** The path of the resource of an action: the one of its privilege, else its route. */
export const resourceOf = ({ can, rest }: Action, params: Record<string, unknown>) =>
  fillPath(can.includes(' on ') ? onPath(can as OnPath).path : `/api${rest?.split(' ')[1] ?? ''}`, params)

function pack(meta: Meta, bytes: boolean | undefined, result: unknown, isComputed: boolean): unknown {
  const version = (result as { version?: unknown } | null)?.version
  const answer = bytes ? jsonOf(result) : result
  if (typeof version === 'number')
    meta.etag =
      isComputed && answer instanceof Uint8Array ? `"${version}-${hash('sha1', answer, 'base64url')}"` : `"${version}"`
  return answer
}
