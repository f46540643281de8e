import { call } from '#shared/bus/call.ts'
import { fencing, type ProtectedVm } from '#shared/contracts/vm/fencing.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { AppError, ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { implement } from '#shared/service/implement.ts'
import { throwAll } from '#shared/service/violations.ts'
import { driverOf } from '../drivers/drivers.ts'
import { startDefined } from '../lifecycle/start-domain.ts'
import { apiPathOf, type DiskRecord, type VmRecord, vmRecords } from '../model.ts'
import { settle } from '../state/status.ts'
import { obstacles } from './check.ts'
import { followRun, nodeBootIdOf } from './boots.ts'
import { startGuard, stopGuard } from './claim.ts'
import { leaseOf, leasePathOf, removeLease, writeLease } from './lease.ts'
import { prove } from './prove.ts'

type Protected = VmRecord & { ha: NonNullable<VmRecord['ha']> }

/** @throws ConflictError for a VM that is not under HA */
async function requireProtected(id: string): Promise<Protected> {
  const vm = await vmRecords.require(id)
  if (!vm.ha) throw new ConflictError(`Virtual machine '${id}' is not under HA`)
  return { ...vm, ha: vm.ha }
}

const viewOf = ({ id, node, status, desired_state, moving, ha }: Protected): ProtectedVm => ({
  id,
  node,
  status,
  desired_state,
  epoch: ha.epoch,
  lease: ha.path,
  is_guarded: ha.is_guarded,
  is_moving: moving !== undefined,
  is_lost: ha.ran?.node === node && ha.ran.is_lost,
  lost_storage: (ha.ran?.node === node && ha.ran.storage) || null,
  old_nodes: ha.old_nodes,
})

const isOn = ({ status }: Pick<VmRecord, 'status'>) => status === 'running' || status === 'paused'

/** The disks of a VM as another node reaches them. */
const disksAt = (vm: VmRecord, node: string): Promise<DiskRecord[]> =>
  Promise.all(
    vm.disks.map(async (disk) => {
      if (disk.pool === null || disk.volume === null) return disk
      const words = { id: disk.pool, volume: disk.volume, owner: apiPathOf(vm.id), node }
      const { source, format } = await call(volumesInternal, 'placeFor', words, { timeoutMs: 60_000 })
      return { ...disk, source, format }
    }),
  )

export const fencingService = implement(fencing, {
  list: async () => {
    const all = await vmRecords.all({ 'ha.epoch': { $gt: 0 } })
    return all.flatMap(({ ha, ...vm }) => (ha ? [viewOf({ ...vm, ha })] : []))
  },

  check: async ({ id, target }) => ({ violations: await obstacles(await vmRecords.require(id), target) }),

  protect: async ({ id }) => {
    const vm = await settle(id)
    const violations = await obstacles(vm)
    const state = (await driverOf(vm).hostState?.cloneObstacles(vm)) ?? []
    violations.push(...state.map((message) => ({ field: 'id', code: 'state', message })))
    throwAll(violations)
    const path = vm.ha?.path ?? leasePathOf(vm)
    const ha = vm.ha ?? { epoch: 1, path, is_guarded: false, is_fencing: false, old_nodes: [] }
    if (path !== null) await writeLease(vm.node, { path, epoch: ha.epoch })
    const changed = vm.ha ? vm : await vmRecords.change(id, () => ({ set: { ha } }))
    if (!isOn(changed)) return null
    await startGuard(changed)
    await followRun(changed, await nodeBootIdOf(changed.node))
    return null
  },

  release: async ({ id }) => {
    const vm = await vmRecords.require(id)
    if (!vm.ha) return null
    const { is_fencing, old_nodes } = vm.ha
    if (old_nodes.length > 0)
      throw new ConflictError(
        `Node '${old_nodes.join(`', '`)}' may still have a former copy of '${id}': it stays under HA until that node answers and the copy is removed`,
      )
    if (is_fencing && (await settle(id)).status === 'unknown')
      throw new ConflictError(`A failover of '${id}' has not ended, and its node '${vm.node}' does not answer`)
    // The guard first: it would end the guest when the lease is gone.
    await stopGuard(vm)
    const lease = leaseOf(vm)
    await vmRecords.change(id, () => ({ set: { ha: undefined } }))
    if (lease) await removeLease(vm.node, lease)
    return null
  },

  raise: async ({ id, target, epoch }) => {
    const vm = await requireProtected(id)
    if (vm.ha.epoch !== epoch) {
      if (vm.ha.epoch !== epoch - 1)
        throw new ConflictError(`Virtual machine '${id}' has the epoch ${vm.ha.epoch}: it cannot become ${epoch}`)
      const ha = { ...vm.ha, epoch, is_fencing: true }
      if (!(await vmRecords.updateWhere({ _id: id, version: vm.version }, { set: { ha } })))
        throw new ConflictError(`The record of '${id}' has changed meanwhile`, { retryable: true })
    }
    if (vm.ha.path !== null) await writeLease(target, { path: vm.ha.path, epoch })
    return null
  },

  prove,

  take: async ({ id, target }) => {
    const vm = await requireProtected(id)
    if (vm.node === target) {
      await vmRecords.change(id, ({ ha }) => ({ set: ha ? { ha: { ...ha, is_fencing: false } } : {} }))
      return null
    }
    const disks = await disksAt(vm, target)
    const { old_nodes } = vm.ha
    const ha = {
      ...vm.ha,
      is_fencing: false,
      is_guarded: false,
      old_nodes: [...new Set([...old_nodes, vm.node])].filter((node) => node !== target),
    }
    const data = { vm_id: id, name: vm.name, source_node: vm.node, target_node: target, timestamp: now() }
    const set = {
      ha,
      disks,
      node: target,
      status: 'stopped' as const,
      status_reason: null,
      boot_id: null,
      defined: false,
      moving: undefined,
    }
    const taken = await vmRecords.updateWhere(
      { _id: id, node: vm.node, version: vm.version },
      { set, events: [event('VmMigrated', data)] },
    )
    if (!taken) throw new ConflictError(`The record of '${id}' has changed meanwhile`, { retryable: true })
    return null
  },

  start: async ({ id }) => {
    const vm = await requireProtected(id)
    try {
      await startDefined(vm)
    } catch (error) {
      if (!(error instanceof AppError) || error.retryable || error.status === 503) throw error
      return error.message
    }
    const { status, status_reason } = await settle(id)
    return status === 'running' ? null : `it is ${status}${status_reason === null ? '' : `: ${status_reason}`}`
  },
})
