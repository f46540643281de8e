import { isDeepStrictEqual } from 'node:util'
import { subjectOf } from '#shared/access/access.ts'
import type { Params } from '#shared/contract/contract.ts'
import { type Vm, type vms } from '#shared/contracts/vm/vms.ts'
import { AppError, ConflictError, UnavailableError, type Violation } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { changing, requireFree } from '#shared/operation/locks.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type Change, changedFields, newContradictions, pendingAfter, saysFields, waiting } from './hardware.ts'
import { apiPathOf, type VmRecord, viewOf, vmRecords } from '../model.ts'
import { requirePaths } from './paths.ts'
import { bootIdOf } from '../state/boot-id.ts'
import { requireNotSaved } from '../state/saved.ts'
import { readHostChanges } from '../state/sizes.ts'
import { requireStatus, settle } from '../state/status.ts'
import { throwAll } from '#shared/service/violations.ts'
import { withRoom } from '../lifecycle/quota-reservation.ts'
import { requireNoTemplate } from '../lifecycle/template-checks.ts'

type Wanted = Change & Partial<Pick<Vm, 'description' | 'protected' | 'tags'>>

/** Changes a VM. Fields that are not part of the definition only change the record. */
export async function update(
  { id, ...given }: Params<typeof vms, 'update'>,
  { caller }: Pick<Call, 'caller'>,
): Promise<Vm> {
  // TypeBox infers types of its own for the contract's arrays and objects; they are those of the record.
  const wanted = given as Wanted
  // A value that was changed at the host since would be written back.
  if (saysFields(wanted)) await readHostChanges(id)
  const before = await vmRecords.requireForChange(id)
  if (before.ha && wanted.autostart)
    throw new ConflictError(`Virtual machine '${id}' is under HA, which starts it: its node must not start it too`)
  if (changedFields(before, wanted).changed.length > 0 || isOwed(before, wanted))
    // The lock: a VM that becomes a template meanwhile must not be defined again.
    return changing(apiPathOf(id), subjectOf(caller), 'vms.update', async () =>
      redefine(await vmRecords.requireForChange(id), wanted),
    )
  await requireFree(apiPathOf(id))
  const { description, protected: isProtected, tags } = wanted
  const set = { description, protected: isProtected, tags }
  const isGiven = ([, value]: [string, unknown]) => value !== undefined
  return viewOf(await vmRecords.change(id, () => ({ set: Object.fromEntries(Object.entries(set).filter(isGiven)) })))
}

/** True when a change names fields whose values the host's definition does not have yet. */
const isOwed = ({ defined, template }: VmRecord, wanted: Wanted) => !defined && !template && saysFields(wanted)

/**
 * Changes the record, then the host's definition, then the running guest. A change that the guest cannot take is
 * pending. After a crash in between, the next start writes the definition.
 */
async function redefine(before: VmRecord, wanted: Wanted): Promise<Vm> {
  const { id } = before
  const { changed: fields, isRedefined: isOther } = changedFields(before, wanted)
  const isRedefined = isOther || !before.defined
  requireNoTemplate(before, 'change')
  if (isRedefined) await requireNotSaved(before, 'change')
  await requireChangeable(before, wanted, await reach(before.node))
  const boot_id = before.status === 'stopped' ? before.boot_id : await bootIdOf(before)
  const driver = driverOf(before)
  const write = async () => {
    const written = await vmRecords.change(id, (vm) => ({
      set: {
        ...wanted,
        ...waiting(pendingAfter(vm, fields, wanted)),
        boot_id,
        defined: false,
      },
    }))
    if (isRedefined) await driver.define(written).catch((error: unknown) => refused(error, before, written, wanted))
    return written
  }
  const { memory = before.memory, cpus = before.cpus } = wanted
  const changed = await withRoom(before, { ...before, memory, cpus }, write, () => vmRecords.require(id))
  const isRunning = changed.status === 'running' || changed.status === 'paused'
  const taken = (await driver.changes?.apply(changed, fields, isRunning)) ?? []
  return viewOf(await settled(changed, fields, taken))
}

/** Restores the record when the host refuses the definition. After UnavailableError the record keeps the change. */
async function refused(error: unknown, before: VmRecord, { id, version }: VmRecord, wanted: Wanted): Promise<never> {
  if (error instanceof AppError && !(error instanceof UnavailableError)) {
    const was = Object.fromEntries(Object.entries(before).filter(([field]) => field in wanted))
    const set = { ...was, ...waiting(before.pending), boot_id: before.boot_id, defined: false }
    await vmRecords.updateWhere({ _id: id, version }, { set })
  }
  throw error
}

/** Records that the host has the definition, unless these fields have changed meanwhile. */
async function settled(changed: VmRecord, fields: (keyof Change)[], taken: string[]): Promise<VmRecord> {
  for (let now = changed; ; now = await vmRecords.require(changed.id)) {
    if (!fields.every((field) => isDeepStrictEqual(now[field], changed[field]))) return now
    const set = { ...waiting(now.pending.filter(({ field }) => !taken.includes(field))), defined: true }
    const written = await vmRecords.updateWhere({ _id: now.id, version: now.version }, { set })
    if (written) return written
  }
}

async function requireChangeable(vm: VmRecord, given: Change, reached: Reached): Promise<void> {
  // The record may still say that its node does not answer.
  if (given.name !== undefined && given.name !== vm.name)
    requireStatus(vm.status === 'unknown' ? await settle(vm.id) : vm, 'rename', ['stopped'])
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const after: VmRecord = { ...vm, ...changes }
  const violations: Violation[] = newContradictions(vm, changes)
  const lacking = await driverOf(vm).check(reached, after)
  // Only of changed fields: a network may be down while the description changes.
  violations.push(...lacking.filter(({ field }) => field in changes))
  await requirePaths(reached, { iso: given.iso ?? null, ...given.boot }, violations)
  throwAll(violations)
}
