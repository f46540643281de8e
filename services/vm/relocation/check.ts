import type { Params, Result } from '#shared/contract/contract.ts'
import type { moves } from '#shared/contracts/vm/moves.ts'
import type { Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { checking } from '#shared/service/violations.ts'
import { requirePaths } from '../hardware/paths.ts'
import { isInPool } from '../hardware/plan.ts'
import { type VmRecord, viewOf, vmRecords } from '../model.ts'
import { snapshotRecords } from '../snapshots/model.ts'
import { settle } from '../state/status.ts'
import { movesOf } from './target.ts'

/** Violations of the record itself. */
function ofRecord(vm: VmRecord): Violation[] {
  const found: Violation[] = []
  const refuse = (field: string, code: string, message: string) => found.push({ field, code, message })
  if (vm.template) refuse('vm_id', 'template', 'it is a template: it stays with the disks that its clones read')
  if (vm.pending.length > 0)
    refuse('vm_id', 'pending', `changes wait for its next start (${vm.pending.map(({ field }) => field).join(', ')})`)
  for (const disk of vm.disks)
    if (!isInPool(disk) && disk.source.type !== 'network')
      refuse('disks', 'no_pool', `its disk ${disk.id} is in no storage pool: it is known on node '${vm.node}' only`)
  for (const { id, device, source } of vm.foreign_disks ?? [])
    refuse('disks', 'foreign', `its ${device} ${id} (${source}) is no disk of its record: eject or detach it`)
  return found
}

export async function check({
  id,
  target,
  is_live,
}: Params<typeof moves, 'check'>): Promise<Result<typeof moves, 'check'>> {
  const vm = await settle(id)
  const part = movesOf(vm)
  const violations = ofRecord(vm)
  const reached = await reach(target)
  const found = await checking('target_node', violations, () => part.check(vm, target, is_live))
  violations.push(...(found?.violations ?? []))
  await requirePaths(reached, { iso: vm.iso, ...vm.boot }, violations)
  const snapshots = await snapshotRecords.all({ vm_id: id })
  return {
    vm: viewOf((await vmRecords.get(id)) ?? vm),
    has_snapshots: snapshots.length > 0,
    is_ha: vm.ha !== undefined,
    violations,
    warnings: found?.warnings ?? [],
  }
}
