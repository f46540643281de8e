import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { noteRan, runOn } from '../fencing/boots.ts'
import { claim } from '../fencing/claim.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { giveSecrets } from '../hardware/secrets.ts'

/** @throws ConflictError while another VM runs in place of this one: both have the same addresses and work on the same data */
export async function requireNotReplaced({ id, replaced_by }: Pick<VmRecord, 'id' | 'replaced_by'>): Promise<void> {
  if (replaced_by === undefined || !(await vmRecords.get(replaced_by))) return
  throw new ConflictError(
    `Virtual machine '${replaced_by}' has taken over from '${id}', with its MAC addresses: go back with the failback of the replica, or delete it first`,
    { details: { replaced_by } },
  )
}

/** Starts a guest as it is recorded, its disks made usable first, and its guard if it is under HA: defined anew first when its record has changed since, or its host has lost it. */
export async function startDefined(vm: VmRecord): Promise<void> {
  const driver = driverOf(vm)
  await requireNotReplaced(vm)
  if (vm.disks.some(({ pool }) => pool !== null))
    await call(volumesInternal, 'activateFor', { owner: apiPathOf(vm.id), node: vm.node }, { timeoutMs: 60_000 })
  await giveSecrets(vm)
  await claim(vm)
  // A guest that ends with its node before it was seen to run is lost too.
  const run = vm.ha && (await runOn(vm.node))
  if (!vm.defined || !(await isStarted(() => driver.start(vm)))) {
    await driver.define(vm)
    await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set: { defined: true } })
    await driver.start(vm)
  }
  if (run) await noteRan(vm.id, run)
}

/** @returns false when there is nothing to start */
async function isStarted(start: () => Promise<void>): Promise<boolean> {
  try {
    await start()
    return true
  } catch (error) {
    if (error instanceof NotFoundError) return false
    throw error
  }
}
