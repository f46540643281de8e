import type { Applied } from '#shared/contracts/container/network-policies.ts'
import { ConflictError, ValidationError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { log } from '#shared/runtime/log.ts'
import { appliedRecords, type AppliedRecord, policyRecords, type PolicyRecord } from './models.ts'
import { syncPolicies } from './sync.ts'
import { violationsOfPolicy } from './violations.ts'
import type { Policy } from './world.ts'

export type Given = Policy & { description: string }
export type Changes = { policies: Given[]; delete: string[] }

/** All violations of a change, each at its policy. @throws ValidationError */
export function requireValid({ policies, delete: deleted }: Changes): void {
  const found: Violation[] = policies.flatMap((policy, index) =>
    violationsOfPolicy(policy).map((one) => ({ ...one, field: `policies.${index}.${one.field}` })),
  )
  const ids = [...policies.map(({ id }) => id), ...deleted]
  for (const id of new Set(ids.filter((one, index) => ids.indexOf(one) !== index)))
    found.push({ field: 'policies', code: 'invalid', message: `names '${id}' twice` })
  if (found.length > 0) throw new ValidationError(found)
}

/** Refuses a change of a policy that an unconfirmed change has made: that one's undo would take this one back. */
export function requireSettled(policy: Pick<PolicyRecord, 'id' | 'pending'> | null): void {
  if (policy?.pending !== undefined)
    throw new ConflictError(`The network policy '${policy.id}' has a change that is to be confirmed first`, {
      details: { change: policy.pending },
    })
}

/** The fields that a request gives, with those that it leaves out removed from the record. */
export const fieldsOf = ({ description, resource_pool, pod_selector, policy_types, ingress, egress }: Given) => ({
  description,
  resource_pool,
  pod_selector,
  policy_types,
  ingress,
  egress,
})

const defined = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }

export async function put(given: Given, pending?: string): Promise<void> {
  const changed = await policyRecords.updateWhere({ _id: given.id }, { set: { ...fieldsOf(given), pending } })
  if (changed) return
  const at = now()
  const record = defined({ ...fieldsOf(given), pending })
  await policyRecords.insert({ id: given.id, created_at: at, updated_at: at, ...record })
}

/** A later time than any confirmation: a change whose process dies in between is undone after this. */
const graceMs = 120_000

const viewOf = ({ id, state, confirm_by, policies }: AppliedRecord): Applied => ({ id, state, confirm_by, policies })

const inMs = (ms: number) => new Date(Date.now() + ms).toISOString()

/** Changes policies together. The record of the state before comes first, so that a crash in between undoes it all. */
export async function applyChanges(changes: Changes, confirmWithinSeconds?: number): Promise<Applied> {
  requireValid(changes)
  const id = newId()
  const ids = [...changes.policies.map((policy) => policy.id), ...changes.delete]
  const before = await Promise.all(ids.map(async (one) => ({ id: one, policy: await policyRecords.get(one) })))
  for (const { policy } of before) requireSettled(policy)
  const deadline = inMs(confirmWithinSeconds === undefined ? graceMs : confirmWithinSeconds * 1000)
  await appliedRecords.insert({ id, state: 'pending', confirm_by: deadline, policies: ids, before, created_at: now() })
  try {
    for (const policy of changes.policies) await put(policy, id)
    for (const one of changes.delete) await policyRecords.removeWhere({ _id: one })
    await syncPolicies()
  } catch (error) {
    await undo(id)
    throw error
  }
  if (confirmWithinSeconds === undefined) return confirm(id, null)
  return viewOf(await appliedRecords.require(id))
}

/** Makes a change stay. @throws ConflictError when it has been undone */
export async function confirm(id: string, confirmBy?: null): Promise<Applied> {
  const { state } = await appliedRecords.require(id)
  if (state === 'undone') throw new ConflictError(`The change '${id}' was not confirmed in time and is undone`)
  const done = await appliedRecords.updateWhere(
    { _id: id, state: 'pending' },
    { set: { state: 'confirmed', before: [], ...(confirmBy === null && { confirm_by: null }) } },
  )
  for (const { id: one } of await policyRecords.all({ pending: id }))
    await policyRecords.updateWhere({ _id: one, pending: id }, { set: { pending: undefined } })
  return viewOf(done ?? (await appliedRecords.require(id)))
}

/** Puts policies back as they were before a change. Doing it twice is fine. */
async function undo(id: string): Promise<void> {
  const record = await appliedRecords.updateWhere({ _id: id, state: 'pending' }, { set: { state: 'undone' } })
  if (!record) return
  for (const { id: one, policy } of record.before) {
    if (policy) await put({ ...policy, id: one })
    else await policyRecords.removeWhere({ _id: one })
  }
  await syncPolicies()
}

/** Undoes changes that were not confirmed in time, and finishes undos of processes that have died. */
export async function undoUnconfirmed(): Promise<void> {
  for (const { id } of await appliedRecords.all({ state: 'pending', confirm_by: { $lt: now() } })) {
    log('network-policies').warn({ change: id }, 'a change of network policies was not confirmed and is undone')
    await undo(id)
  }
}
