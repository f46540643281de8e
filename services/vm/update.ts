import { isDeepStrictEqual } from 'node:util'
import type { Params } from '#shared/contract.ts'
import { type Vm, type vms } from '#shared/contracts/vms.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { type Reached, reach } from '#shared/nodes.ts'
import { driverOf } from './drivers/drivers.ts'
import { type Change, changedFields, contradictions, pendingAfter, waiting } from './hardware.ts'
import { pathOf, type VmRecord, viewOf, vmRecords } from './model.ts'
import { requirePaths, throwAll } from './plan.ts'
import { withRoom } from './room.ts'
import { requireNoTemplate } from './templates.ts'

/**
 * Changes a VM: the record first, then the host's definition, then what the running guest can take at once. What it
 * cannot take is pending. A crash in between is made good by the next start, which defines what is not defined.
 */
export async function update({ id, ...given }: Params<typeof vms, 'update'>): Promise<Vm> {
  const before = await vmRecords.requireForChange(id)
  await requireFree(pathOf(id))
  // TypeBox reads the contract's arrays and objects as its own types: they are those of the record.
  const wanted = given as Change & Partial<Pick<Vm, 'description' | 'protected' | 'tags'>>
  const { changed: fields, isRedefined } = changedFields(before, wanted)
  if (fields.length > 0) requireNoTemplate(before, 'change')
  if (fields.length > 0) await requireChangeable(before, wanted, await reach(before.node))
  const run = fields.length > 0 && before.status !== 'stopped' ? await driverOf(before).runOf(before) : before.run
  const write = () =>
    vmRecords.change(id, (vm) => ({
      set: {
        ...wanted,
        ...waiting(pendingAfter(vm, fields, wanted)),
        run,
        ...(isRedefined && { defined: false }),
      },
    }))
  const { memory = before.memory, cpus = before.cpus } = wanted
  const changed = await withRoom(before, { ...before, memory, cpus }, write, () => vmRecords.require(id))
  if (fields.length === 0) return viewOf(changed)
  const driver = driverOf(changed)
  if (isRedefined) await driver.define(changed)
  const isRunning = changed.status === 'running' || changed.status === 'paused'
  return viewOf(await settled(changed, fields, await driver.change(changed, fields, isRunning)))
}

/** Writes down that the host has it, unless somebody else has changed these fields meanwhile. */
async function settled(changed: VmRecord, fields: (keyof Change)[], taken: string[]): Promise<VmRecord> {
  for (let now = changed; ; now = await vmRecords.require(changed.id)) {
    if (!fields.every((field) => isDeepStrictEqual(now[field], changed[field]))) return now
    const set = { ...waiting(now.pending.filter(({ field }) => !taken.includes(field))), defined: true }
    const written = await vmRecords.updateWhere({ _id: now.id, version: now.version }, { set })
    if (written) return written
  }
}

async function requireChangeable(vm: VmRecord, given: Change, reached: Reached): Promise<void> {
  if (given.name !== undefined && given.name !== vm.name && vm.status !== 'stopped')
    throw new ConflictError(`Virtual machine '${vm.id}' is ${vm.status}; to rename it, it must be stopped`)
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const after: VmRecord = { ...vm, ...changes }
  const violations: Violation[] = contradictions(after)
  const lacking = await driverOf(vm).check(reached, after)
  // What was so before is not the caller's mistake: a network may be down while the description changes.
  violations.push(...lacking.filter(({ field }) => field in changes))
  await requirePaths(reached, { iso: given.iso ?? null, ...given.boot }, violations)
  throwAll(violations)
}
