import { isDeepStrictEqual } from 'node:util'
import { reach } from '#shared/nodes/nodes.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { leaseOf } from './lease.ts'
import { driverOf } from '../drivers/drivers.ts'
import { settle } from '../state/status.ts'

/** The boot id of a node: its kernel makes a new one at each boot. */
export async function nodeBootIdOf(node: string): Promise<string> {
  const { host } = await reach(node)
  return (await host.readFile('/proc/sys/kernel/random/boot_id')).toString('latin1').trim()
}

type Ran = NonNullable<NonNullable<VmRecord['ha']>['ran']>
type Seen = Pick<VmRecord, 'node' | 'status'> & { ran: Ran | undefined; storage: Ran['storage'] | null }

/**
 * The last run of a guest under HA, after a look at its node. A guest that ends takes no note of the reason: it ended with its
 * node if that has booted since the guest was seen to run. One that is off in the same boot has ended by its guard if that says
 * so, and otherwise by itself.
 * @param seen.storage as the guard says that has ended it for lost storage
 */
export function ranAfter({ node, status, ran, storage }: Seen, node_boot_id: string): Ran | undefined {
  if (status === 'running' || status === 'paused') return { node, node_boot_id, is_lost: false }
  if (status !== 'stopped' || ran === undefined) return ran
  const { storage: _, ...run } = ran
  const lost = { ...run, is_lost: true, ...(storage && { storage }) }
  if (ran.is_lost) return lost
  if (ran.node !== node) return undefined
  return storage || ran.node_boot_id !== node_boot_id ? lost : undefined
}

/** A run that begins on a node now. */
export const runOn = async (node: string): Promise<Ran> => {
  return { node, node_boot_id: await nodeBootIdOf(node), is_lost: false }
}

/** Notes the run of a guest under HA that is about to start, or was seen. */
export async function noteRan(id: string, ran: Ran | undefined): Promise<void> {
  const { ha } = await vmRecords.require(id)
  if (!ha || isDeepStrictEqual(ha.ran, ran)) return
  await vmRecords.change(id, (vm) => {
    if (!vm.ha) return { set: {} }
    const { ran: _, ...rest } = vm.ha
    return { set: { ha: ran === undefined ? rest : { ...rest, ran } } }
  })
}

/** Looks at the run of a guest under HA. @param node_boot_id of its node, now */
export async function followRun(vm: VmRecord, node_boot_id: string): Promise<void> {
  if (vm.moving || !vm.ha || vm.ha.is_fencing) return
  const ran = vm.ha.ran
  // After a boot of the node, the recorded status may still be that of before.
  const hasBooted = ran?.node === vm.node && ran.node_boot_id !== node_boot_id
  const { status, node } = hasBooted ? await settle(vm.id) : vm
  if (node !== vm.node) return
  const lease = leaseOf(vm)
  const isEnded = status === 'stopped' && ran?.node === node && lease !== null
  const storage = isEnded ? await driverOf(vm).guards?.storageOfEnded(vm, lease) : null
  await noteRan(vm.id, ranAfter({ node, status, ran, storage: storage ?? null }, node_boot_id))
}
