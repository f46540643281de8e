import { AppError } from '#shared/errors.ts'
import { changing } from '#shared/operation/locks.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { settle } from '../state/status.ts'
import { followRun, nodeBootIdOf } from './boots.ts'
import { noteGuarded, startGuard, stopGuard } from './claim.ts'
import { leaseOf } from './lease.ts'

const lookEveryMs = 10_000

/** Starts the guard of a guest again that runs without one. */
async function keepGuarded(vm: VmRecord): Promise<void> {
  const lease = leaseOf(vm)
  const guards = driverOf(vm).guards
  if (!lease || !guards || vm.ha?.is_fencing || (vm.status !== 'running' && vm.status !== 'paused')) return
  if (await guards.isAlive(vm, lease)) return noteGuarded(vm.id, true)
  await noteGuarded(vm.id, false)
  // A guard that has ended its guest keeps the note of that.
  const { status } = await settle(vm.id)
  if (status === 'running' || status === 'paused') await startGuard(vm)
}

/** Removes the former guest of a VM from a node that it has left, once the node answers. */
async function removeOld({ id }: VmRecord, node: string): Promise<void> {
  await changing(apiPathOf(id), 'system', 'former copy after a failover', async () => {
    const vm = await vmRecords.require(id)
    if (vm.node === node || !vm.ha?.old_nodes.includes(node)) return
    await driverOf(vm).undefine({ ...vm, node })
    await stopGuard({ ...vm, node })
    const without = (nodes: string[]) => nodes.filter((each) => each !== node)
    await vmRecords.change(id, ({ ha }) => ({ set: ha ? { ha: { ...ha, old_nodes: without(ha.old_nodes) } } : {} }))
    log('vms').info({ vm_id: id, node }, 'the former copy of a guest was removed after a failover')
  })
}

/** @param bootIdOf the boot id of a node, read once in a turn */
async function look(vm: VmRecord, bootIdOf: (node: string) => Promise<string>): Promise<void> {
  const followed = async () => followRun(vm, await bootIdOf(vm.node))
  for (const work of [
    followed,
    () => keepGuarded(vm),
    ...(vm.ha?.old_nodes ?? []).map((node) => () => removeOld(vm, node)),
  ])
    await work().catch((error: unknown) => {
      // A node that is away, or a VM that an operation holds: the next turn looks again.
      if (!(error instanceof AppError)) throw error
      log('vms').debug({ err: error, vm_id: vm.id }, 'a guest under HA could not be looked at')
    })
}

/** Keeps guards alive, notes guests that ended with their node, and removes former copies, of VMs under HA only. @returns a function that stops it */
export const watchGuards = (): (() => void) =>
  every(
    lookEveryMs,
    async () => {
      const all = await vmRecords.all({ 'ha.epoch': { $gt: 0 } })
      const read = new Map<string, Promise<string>>()
      const bootIdOf = (node: string) => {
        const reading = read.get(node) ?? nodeBootIdOf(node)
        read.set(node, reading)
        return reading
      }
      await Promise.all(all.map((vm) => look(vm, bootIdOf)))
    },
    { part: 'vms', failed: 'guests under HA could not be looked at' },
  )
