import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Vm, vms } from '#shared/contracts/vm/vms.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { alreadyExists, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Adoptable } from '../drivers/parts.ts'
import { newDeviceId } from '../hardware/devices/named.ts'
import { waiting } from '../hardware/hardware.ts'
import { looseKeyOf } from '../hardware/disk-users.ts'
import { holdBases, releaseBases } from '../hardware/bases.ts'
import { macKeyOf } from '../hardware/macs.ts'
import { type DiskRecord, nameKeyOf, apiPathOf, type VmRecord, viewOf, vmRecords } from '../model.ts'
import { isInPool, type Pooled } from '../hardware/plan.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { findDisks, looseViolations, obstacles, type Taken } from './adoptable.ts'
import { findUnmanaged } from './unmanaged.ts'
import { register } from '../lifecycle/register.ts'
import { preparedInRoom, type Room, takeRoomIn } from '../lifecycle/quota-reservation.ts'
import { requireStorage } from '../lifecycle/require-storage.ts'
import { settleAtEnd } from '../state/status.ts'

type Input = { vm: Omit<VmRecord, 'version'>; disks: Taken[]; room?: Room }

async function accept({ resource_pool, ...given }: Params<typeof vms, 'adopt'>, accepting: Accepting): Promise<Input> {
  if (resource_pool === undefined) return prepared(given, accepting)
  // Its size is known once the guest was read. A caller who may not use the pool learns nothing of the guest.
  requireRight(accepting, 'VmAllocate', `/api/resource-pools/${resource_pool}`)
  const input = await prepared({ ...given, resource_pool }, accepting)
  return preparedInRoom(resource_pool, input.vm, accepting.operationId, async () => input)
}

async function prepared(
  { id = newId(), name: wanted, node, domain, resource_pool }: Params<typeof vms, 'adopt'>,
  accepting: Accepting,
): Promise<Input> {
  const { hold, reserve } = accepting
  // Guests of a node that are not Horcrux's need the right to change the node.
  requireRight(accepting, 'SysModify', `/api/cluster/nodes/${encodeURIComponent(node)}`)
  await hold(apiPathOf(id))
  if (await vmRecords.get(id)) throw alreadyExists(id, { field: 'id' })
  const violations: Violation[] = []
  const reached = await checking('node', violations, () => reach(node))
  if (resource_pool !== undefined)
    await checking('resource_pool', violations, () => call(resourcePools, 'get', { id: resource_pool }))
  const candidate = reached && (await findUnmanaged(reached, domain))
  if (reached && !candidate)
    violations.push({ field: 'domain', code: 'not_found', message: `node '${node}' has no domain '${domain}'` })
  if (!reached || !candidate) return throwAll(violations) as never
  const { hypervisor, found } = candidate
  await reserve(`guest ${found.handle} of ${hypervisor} on ${node}`)
  await reserve(...found.nics.flatMap(({ mac }) => (mac ? [macKeyOf(mac)] : [])))
  await requireNotInMaking(found, id)
  violations.push(...found.violations, ...(await obstacles({ node, hypervisor, found }, wanted)))
  const name = wanted ?? found.name
  await reserve(nameKeyOf(name))
  const disks = found.violations.length > 0 ? [] : await findDisks(reached, found, violations)
  for (const { disk } of disks) if (!isInPool(disk)) violations.push(...(await takeLoose(reached, disk, accepting)))
  throwAll(violations)
  requireStorage(
    accepting,
    disks.flatMap(({ disk }) => disk.pool ?? []),
  )

  const { persistent: _p, marked_id: _m, notes: _n, violations: _v, status, ...hardware } = found
  const at = now()
  const vm = {
    ...hardware,
    ...waiting([]),
    id,
    name,
    hypervisor,
    node,
    disks: disks.map(({ disk }) => disk),
    nics: found.nics.map((nic) => ({ ...nic, device_id: newDeviceId() })),
    status,
    status_reason: null,
    desired_state: status === 'stopped' ? ('stopped' as const) : ('running' as const),
    protected: false,
    template: false,
    tags: [],
    created_at: at,
    updated_at: at,
    defined: true,
    boot_id: null,
  } satisfies Input['vm']
  return { vm, disks }
}

/** A guest that is being created has our mark, and no record yet. The lock on the new id is this operation's own. */
async function requireNotInMaking({ marked_id }: Adoptable, id: string): Promise<void> {
  if (marked_id && marked_id !== id) await requireFree(apiPathOf(marked_id))
}

/** Locks a disk in no storage pool, and finds the VM that has it already. */
async function takeLoose(reached: Reached, disk: DiskRecord, { reserve }: Accepting): Promise<Violation[]> {
  if (!disk.readonly) await reserve(await looseKeyOf(reached, disk))
  return looseViolations(reached, disk)
}

async function run(op: Op, { vm, disks, room }: Input): Promise<Vm> {
  if (room) await takeRoomIn(op, room)
  for (const { disk, isNew } of disks)
    if (isInPool(disk))
      await op.step(`taking disk ${disk.id}`, () => take(vm, disk, isNew), {
        undo: () => giveBack(vm.id, disk, isNew),
      })
    else if (disk.reads)
      await op.step(`holding backing files of ${disk.id}`, () => holdBases(vm, disk), {
        undo: () => releaseBases(vm.id, disk),
      })
  await op.step('marking domain', () => driverOf(vm).define(vm), { undo: async () => driverOf(vm).adoption?.letGo(vm) })
  await register(op, 'registering', vm)
  return viewOf(await settleAtEnd(vm.id))
}

async function take(
  vm: Pick<VmRecord, 'id' | 'node'>,
  { pool: id, volume, format }: Pooled,
  isNew: boolean,
): Promise<void> {
  const by = { owner: apiPathOf(vm.id), node: vm.node }
  await (isNew
    ? call(volumesInternal, 'adopt', { id, volume, format, ...by })
    : call(volumesInternal, 'attach', { id, volume, ...by }))
}

const giveBack = (vmId: string, { pool: id, volume }: Pooled, isNew: boolean) =>
  call(volumesInternal, isNew ? 'forget' : 'detach', { id, volume, owner: apiPathOf(vmId) })

export const adopt = operation({ accept, run })
