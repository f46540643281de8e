import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { replicas } from '#shared/contracts/storage/replicas.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { unlessMissing } from '../../backups/restore/build-vm.ts'
import { pointOf, replicaPathOf, replicaRecords } from '../model.ts'
import { type CopyOfPoint, makeCopy, planCopy } from './copy-point.ts'

type FailingOver = CopyOfPoint & {
  start: boolean
  source: string
  /** The source keeps its record, and stands aside. */
  isAside: boolean
}

/**
 * The MAC addresses that the new VM takes over. Those of a source that is off, which does not start meanwhile, or of one that
 * is gone; none of a source whose node does not answer, since its guest may be on the network again when it does.
 * @param wanted null: as the source allows
 * @throws ConflictError when they are wanted of a lost source
 */
export function macsOf(
  source: Pick<Vm, 'id' | 'status' | 'nics'> | null,
  point: readonly string[],
  wanted: boolean | null,
): string[] {
  if (wanted === false) return []
  if (source === null) return [...point]
  if (source.status === 'stopped')
    return point.filter((mac) => wanted === true || source.nics.some((nic) => nic.mac === mac))
  if (wanted === null) return []
  throw new ConflictError(
    `The MAC addresses of virtual machine '${source.id}' are not kept: its node does not answer, and two guests with one address may run later`,
  )
}

/** The reason that the source may still run; null when it does not. */
export function whySourceMayRun(source: Pick<Vm, 'id' | 'status'> | null, isLost: boolean): string | null {
  if (source === null || source.status === 'stopped') return null
  if (source.status !== 'unknown')
    return `Virtual machine '${source.id}' is ${source.status}: two of them would write different things. Stop it first`
  if (isLost) return null
  return `The node of virtual machine '${source.id}' does not answer, so that it may still run. Once you know that it does not, say source_is_lost`
}

async function mark({ replica, vm, point, source }: FailingOver): Promise<void> {
  const at = now()
  const told = { replica_id: replica, vm_id: source, new_vm_id: vm, point_id: point, timestamp: at }
  await replicaRecords.updateWhere(
    { _id: replica, failover: null },
    { set: { failover: { vm_id: vm, point_id: point, at } }, events: [event('ReplicaFailedOver', told)] },
  )
}

async function run(op: Op, failing: FailingOver): Promise<Vm> {
  const { replica, vm, start, source, isAside } = failing
  if (isAside)
    await op.step('setting source aside', () => call(vmBackups, 'replaceBy', { id: source, other: vm }), {
      undo: () => call(vmBackups, 'replaceBy', { id: source, other: null }),
    })
  const made = await makeCopy(op, failing, (request) => request)
  await op.step('recording', () => mark(failing), {
    undo: () => replicaRecords.updateWhere({ _id: replica, 'failover.vm_id': vm }, { set: { failover: null } }),
  })
  // A start that fails leaves the virtual machine.
  await op.commit()
  return start ? op.child(vms, 'start', { id: vm }, { name: 'starting' }) : made
}

export const failover = operation({
  accept: async (given: Params<typeof replicas, 'failover'>, accepting): Promise<FailingOver> => {
    const { id, point_id, start, source_is_lost, keep_macs } = given
    await accepting.hold(replicaPathOf(id))
    const replica = await replicaRecords.require(id)
    if (replica.failover)
      throw new ConflictError(`Virtual machine '${replica.failover.vm_id}' has taken over from replica '${id}' already`)
    // Nothing starts the source until the other one is there.
    await accepting.hold(`/api/vms/${replica.vm_id}`)
    const source = await unlessMissing(call(vms, 'get', { id: replica.vm_id }))
    const why = whySourceMayRun(source, source_is_lost)
    if (why !== null) throw new ConflictError(why)
    const vm = given.vm_id ?? newId()
    const name = given.name ?? `${replica.vm_name}-failover`
    const inPoint = pointOf(replica, point_id).guest.config.nics.map(({ mac }) => mac)
    const macs = macsOf(source, inPoint, keep_macs ?? null)
    const copied = await planCopy(replica, { point_id, vm, name, macs }, accepting)
    return { ...copied, start, source: replica.vm_id, isAside: source?.status === 'stopped' }
  },
  run,
})
