import { dirname } from 'node:path'
import { call } from '#shared/bus/call.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { checking } from '#shared/service/violations.ts'
import { driverOf } from '../drivers/drivers.ts'
import { requirePaths } from '../hardware/paths.ts'
import { isInPool } from '../hardware/plan.ts'
import type { VmRecord } from '../model.ts'
import { snapshotRecords } from '../snapshots/model.ts'
import { leaseOf, whyUnreadable } from './lease.ts'

/** Things of a VM that lie on its node alone, so that another node cannot start it as it was. By the record alone. */
export function boundToNode(vm: VmRecord): Violation[] {
  const found: Violation[] = []
  const refuse = (field: string, code: string, message: string) => found.push({ field, code, message })
  if (vm.template) refuse('id', 'template', 'it is a template')
  if (!driverOf(vm).guards) refuse('id', 'hypervisor', `guests of ${vm.hypervisor} have no guards`)
  if (vm.autostart)
    refuse(
      'autostart',
      'autostart',
      'its node would start it by itself after a boot, also when it runs elsewhere by then',
    )
  found.push(...(driverOf(vm).guards?.boundToNode(vm) ?? []))
  if (vm.seed !== null) refuse('seed', 'seed', 'its cloud-init seed is a file of its node: remove it')
  for (const { id, device, source } of vm.foreign_disks ?? [])
    refuse('disks', 'foreign', `its ${device} ${id} (${source}) is no disk of its record: eject or detach it`)
  for (const disk of vm.disks)
    if (!isInPool(disk) && disk.source.type !== 'network')
      refuse('disks', 'no_pool', `its disk ${disk.id} is in no storage pool: it is known on node '${vm.node}' only`)
  const folders = vm.disks.flatMap(({ source }) => (source.type === 'file' ? [dirname(source.path)] : []))
  if (vm.ha?.path && !folders.includes(dirname(vm.ha.path)))
    refuse(
      'disks',
      'lease',
      `its lease ${vm.ha.path} is beside none of its disks any more: take it out of HA and in again`,
    )
  return found
}

/** Disks in storage pools that one node alone reaches. */
async function notShared({ disks }: VmRecord, violations: Violation[]): Promise<void> {
  for (const { id, pool: name } of disks) {
    if (name === null) continue
    const pool = await checking('disks', violations, () => call(pools, 'get', { id: name }))
    if (pool?.nodes?.length === 1)
      violations.push({
        field: 'disks',
        code: 'not_shared',
        message: `its disk ${id} is in storage pool '${name}', which only node '${pool.nodes[0]}' reaches: a start elsewhere needs shared storage`,
      })
  }
}

/** The lease of a VM that a node cannot read: its disks are not there either. */
async function withoutStorage(vm: VmRecord, node: string): Promise<Violation[]> {
  const lease = leaseOf(vm)
  const why = lease && (await whyUnreadable(node, lease))
  if (why === null) return []
  return [{ field: 'disks', code: 'storage', message: `node '${node}' does not reach its storage: ${why}` }]
}

/** Everything that keeps a VM from being started on another node, at once. @param target also what this node lacks */
export async function obstacles(vm: VmRecord, target?: string): Promise<Violation[]> {
  const violations = boundToNode(vm)
  await notShared(vm, violations)
  if ((await snapshotRecords.all({ vm_id: vm.id }, 1)).length > 0)
    violations.push({ field: 'snapshots', code: 'snapshots', message: 'the state of its snapshots is on its node' })
  if (target === undefined) return violations
  const reached = await reach(target)
  violations.push(...(await withoutStorage(vm, target)))
  violations.push(...(await driverOf(vm).check(reached, vm)))
  await requirePaths(reached, { iso: vm.iso, ...vm.boot }, violations)
  return violations
}
