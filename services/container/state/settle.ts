import { isDeepStrictEqual } from 'node:util'
import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { ContainerStatus } from '#shared/contracts/container/parts.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { wasKilledForMemory } from '#shared/nodes/oom-log.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { idLabel } from '../drivers/driver.ts'
import { creationOf, deletionOf } from '../lifecycle/events.ts'
import { apiPathOf, type ContainerRecord, containerRecords } from '../model.ts'
import { fieldsOf, type Observed, observe, type Place } from './observe.ts'

/** 128 and the number of SIGKILL. */
const killedCode = 137

/** True while an operation works on the container: its record is the operation's to write or remove. */
async function isHeld(id: string): Promise<boolean> {
  try {
    await requireFree(apiPathOf(id))
    return false
  } catch (error) {
    if (error instanceof ConflictError) return true
    throw error
  }
}

/** Brings the record of a container to what its engine says; makes the record of a container that has none. */
export async function settlePlace({ node, runtime, engine_id }: Place): Promise<void> {
  const place = { node, runtime, engine_id }
  for (;;) {
    const [observed, record] = [await observeOrUnknown(place), await containerRecords.find(place)]
    if (observed === 'unknown') return record ? void (await markUnknown(record)) : undefined
    if (record) {
      if (await isSettled(record, observed)) return
    } else return observed ? discover(place, observed) : undefined
  }
}

async function observeOrUnknown(place: Place): Promise<Observed | null | 'unknown'> {
  try {
    return await observe(place)
  } catch (error) {
    if (error instanceof UnavailableError) return 'unknown'
    throw error
  }
}

/** Brings a record to what its engine says. @throws NotFoundError when the container is gone */
export async function settle(id: string): Promise<ContainerRecord> {
  const { node, runtime, engine_id } = await containerRecords.require(id)
  await settlePlace({ node, runtime, engine_id })
  return containerRecords.require(id)
}

/** @returns true when nothing was left to write; another look follows every write */
async function isSettled(record: ContainerRecord, observed: Observed | null): Promise<boolean> {
  if (!observed) {
    if (!(await isHeld(record.id))) await drop(record)
    return true
  }
  const fields = await withLastKill(record, observed, fieldsOf(observed, record))
  const changed = Object.entries(fields).filter(
    ([key, value]) => !isDeepStrictEqual(value, record[key as keyof typeof fields]),
  )
  if (changed.length === 0) return true
  const events = eventsOf(record, fields)
  await containerRecords.updateWhere(
    { _id: record.id, version: record.version },
    { set: Object.fromEntries(changed), events },
  )
  return false
}

type Fields = ReturnType<typeof fieldsOf>

/** Adds the kill of the first process of a run that has ended: the counter of its control group is gone with it. */
async function withLastKill(record: ContainerRecord, observed: Observed, fields: Fields): Promise<Fields> {
  const { pid, memory, node } = record
  const { exit_code } = observed
  const hasEnded = pid !== null && pid !== fields.pid && memory !== null
  if (!hasEnded || (exit_code !== null && exit_code !== killedCode)) return fields
  const isKilled = fields.oom_killed || (await wasKilledForMemory((await reach(node)).host, pid))
  if (!isKilled) return fields
  return { ...fields, oom_kills: record.oom_kills + 1, oom_killed: fields.pid === null }
}

function eventsOf(
  record: ContainerRecord,
  { status, oom_kills }: Pick<ContainerRecord, 'status' | 'oom_kills'>,
): Event[] {
  const events: Event[] = []
  if (oom_kills > record.oom_kills)
    events.push(event('ContainerOom', { container_id: record.id, name: record.name, oom_kills, timestamp: now() }))
  if (status !== record.status) events.push(statusChange(record, status))
  return events
}

const statusChange = ({ id, status }: ContainerRecord, new_status: ContainerStatus) =>
  event('ContainerStatusChanged', { container_id: id, old_status: status, new_status, timestamp: now() })

/** Makes the record of a container that others have made. Its id follows from its place: replicas make the same one. */
async function discover(place: Place, observed: Observed): Promise<void> {
  const made = observed.labels[idLabel]
  // The operation that makes it writes its record itself.
  if (made && (await isHeld(made))) return
  const id = idFrom(`container ${place.node}/${place.runtime}/${place.engine_id}`)
  const record = {
    id,
    ...place,
    ...fieldsOf(observed),
    created_at: observed.created_at,
    managed: false,
    trusted: false,
    rootfs: null,
    updated_at: now(),
  }
  try {
    await containerRecords.insert(record, [creationOf(record)])
  } catch (error) {
    // Another replica was first.
    if (!(error instanceof ConflictError)) throw error
  }
}

/** Removes the record of a container that others have removed. */
export async function drop(record: ContainerRecord): Promise<void> {
  const deletion = await deletionOf(record)
  // In the outbox of the record first: the removal publishes it.
  const last = await containerRecords.updateWhere(
    { _id: record.id, version: record.version },
    { set: { status: record.status }, events: [deletion] },
  )
  if (!last) return
  await containerRecords.removeWhere({ _id: record.id }, deletion.for)
  await call(permissions, 'forget', { path: apiPathOf(record.id) })
}

/** Records that the engine of a container does not answer. */
export async function markUnknown(record: ContainerRecord, reason = 'its engine does not answer'): Promise<void> {
  if (record.status === 'unknown') return
  await containerRecords.updateWhere(
    { _id: record.id, version: record.version },
    { set: { status: 'unknown', status_reason: reason }, events: [statusChange(record, 'unknown')] },
  )
}

/** @throws ConflictError when the status is not among those that the action is possible in; UnavailableError when it is unknown */
export function requireStatus(record: ContainerRecord, action: string, allowed: readonly ContainerStatus[]): void {
  const { id, status, status_reason } = record
  if (allowed.includes(status)) return
  if (status === 'unknown')
    throw new UnavailableError(
      `The status of container '${id}' is unknown: ${status_reason ?? 'its engine does not answer'}`,
    )
  throw new ConflictError(`Container '${id}' is ${status}; to ${action} it, it must be ${allowed.join(' or ')}`, {
    details: { status, allowed },
  })
}

/** @throws ConflictError for a container that is only shown */
export function requireManaged({ id, managed }: ContainerRecord, action: string): void {
  if (managed) return
  throw new ConflictError(
    `Container '${id}' was discovered and is only shown; to ${action} it, adopt it first with POST ${apiPathOf(id)}/adopt`,
    { details: { managed: false } },
  )
}

/** The record, settled; one whose container is gone is not found. */
export async function settledForChange(id: string, action: string): Promise<ContainerRecord> {
  requireManaged(await containerRecords.requireForChange(id), action)
  const record = await settle(id)
  if (!(await observe(record).catch(() => record))) throw new NotFoundError(`Container '${id}' is gone from its engine`)
  return record
}
