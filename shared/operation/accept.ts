import { v7 } from 'uuid'
import { restrictedKeyOf, subjectOf } from '#shared/access/access.ts'
import { hashesOf, recordAudit } from '#shared/audit/audit.ts'
import { fillPath } from '#shared/contract/contract.ts'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { requestContext, requireCurrent } from '#shared/runtime/request-context.ts'
import { now } from '#shared/events/event.ts'
import { type Entry, findEntry, insertEntry, viewOf } from '#shared/operation/entries.ts'
import { ownLease } from '#shared/operation/lease.ts'
import { kindOf } from '#shared/operation/kinds.ts'
import { hold, keepLocks, release, share } from '#shared/operation/locks.ts'
import { enqueue, takeSlotHere } from '#shared/operation/queue.ts'
import { idOfSeed } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'

/**
 * Accepts an operation: its handler checks and prepares, the locks are taken, the audit record and the entry are written.
 * From then on the engine brings it to its end, also when this process dies at once.
 */
export async function acceptOperation(name: string, params: unknown, call: Call): Promise<Operation> {
  const { service, action, handler } = kindOf(name)!
  const id = operationId()
  const known = await findEntry(id)
  if (known) return viewOf(known)

  const user = subjectOf(call.caller)
  const resources: string[] = []
  const locks = new Set<string>()
  const kept = keepLocks(id)
  const reserve = async (...keys: string[]) => {
    for (const key of keys.toSorted()) {
      locks.add(key)
      await hold(key, id, user, name)
    }
  }
  const holdAll = async (...paths: string[]) => {
    await reserve(...paths)
    resources.push(...paths)
  }
  const shareAll = async (...paths: string[]) => {
    for (const path of paths) {
      locks.add(`shared ${path}`)
      await share(path, id, user, name)
    }
    resources.push(...paths)
  }
  let slot: ReturnType<typeof takeSlotHere>
  try {
    const input = await handler.accept(params, { ...call, operationId: id, hold: holdAll, share: shareAll, reserve })
    await requireCurrent()
    slot = takeSlotHere(service)
    // An operation that begins here at once is stored with its lease.
    const taken = slot ? { epoch: 1, lease: ownLease() } : { epoch: 0, lease: null }
    const entry = { ...newEntry(id, name, service, user, input, resources, call), ...taken }
    const path = resources[0] ?? `/api${fillPath(action.rest?.split(' ')[1] ?? '', params as Record<string, unknown>)}`
    // Before the entry: no operation may begin without an audit record.
    await recordAudit({
      id: idOfSeed(id, 'accepted'),
      caller: call.caller,
      kind: action.audit,
      path,
      action: name,
      result: 'accepted',
      request_id: call.requestId,
      operation_id: id,
      ...hashesOf(requestContext()?.changed),
    })
    await requireCurrent()
    await kept.requireAll(locks.size)
    if (!(await insertEntry(entry))) {
      slot?.giveBack()
      return viewOf((await findEntry(id))!)
    }
    if (slot) slot.run(entry)
    else enqueue(entry)
    return viewOf(entry)
  } catch (error) {
    slot?.giveBack()
    if (locks.size > 0) await release(id)
    throw error
  } finally {
    kept.end()
  }
}

/** The id given by the calling service, or the one that follows from the idempotency key, or a new one. */
function operationId(): string {
  const call = requestContext()
  if (call?.operationId) return call.operationId
  return call?.idempotency ? idOfSeed(call.idempotency.seed, 'operation') : v7()
}

function newEntry(
  id: string,
  kind: string,
  service: string,
  user: string,
  input: unknown,
  resources: string[],
  call: Call,
): Omit<Entry, 'epoch' | 'lease'> {
  const api_key = restrictedKeyOf(call.caller)
  return {
    id,
    kind,
    service,
    user,
    ...(api_key !== undefined && { api_key }),
    input,
    resources,
    address: call.caller.address ?? null,
    request_id: call.requestId,
    state: 'queued',
    stage: null,
    progress: { done: 0, total: null, unit: 'steps', percent: null },
    eta: null,
    steps: [],
    results: [],
    created_at: now(),
    started_at: null,
    ended_at: null,
    cancellable: true,
    cancel_requested: false,
    result: null,
    error: null,
    failure: null,
    log: [],
    touched: [...(requestContext()?.changed ?? [])],
    version: 1,
  }
}
