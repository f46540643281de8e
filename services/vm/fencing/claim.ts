import { ConflictError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { noteRan } from './boots.ts'
import { leaseOf, requireEpoch } from './lease.ts'

/**
 * Prepares the start of a guest under HA on its node: its lease has the epoch of the record, and its guard runs. A VM that
 * is not under HA needs nothing.
 * @throws ConflictError when a failover has not ended, or the guest was taken over
 */
export async function claim(vm: VmRecord): Promise<void> {
  if (!vm.ha) return
  if (vm.ha.is_fencing)
    throw new ConflictError(
      `A failover of virtual machine '${vm.id}' has not ended: it is started when its former node is known not to run it (GET /api/ha/status)`,
    )
  // This start answers the loss; a guest that ends itself afterwards stays off.
  if (vm.ha.ran?.is_lost) await noteRan(vm.id, undefined)
  await startGuard(vm)
}

/** Starts the guard of a guest on a node, or finds it. A VM without a lease file has none. */
export async function startGuard(vm: VmRecord): Promise<void> {
  const lease = leaseOf(vm)
  if (!lease) return
  await requireEpoch(vm.node, lease)
  await driverOf(vm).guards?.start(vm, lease)
  await noteGuarded(vm.id, true)
}

/** Ends the guard of a guest on a node that it has left. */
export async function stopGuard(vm: VmRecord): Promise<void> {
  if (leaseOf(vm)) await driverOf(vm).guards?.stop(vm)
}

/** Records that the guard of a guest was found, or not. */
export async function noteGuarded(id: string, is_guarded: boolean): Promise<void> {
  const { ha } = await vmRecords.require(id)
  if (!ha || ha.is_guarded === is_guarded) return
  await vmRecords.change(id, (vm) => ({ set: vm.ha ? { ha: { ...vm.ha, is_guarded } } : {} }))
}
