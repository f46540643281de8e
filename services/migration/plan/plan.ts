import { allPages } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import type { MigrationPlan, migrations, MigrationType } from '#shared/contracts/migration/migrations.ts'
import { type Pool, pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { moves, type TargetDisk } from '#shared/contracts/vm/moves.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { NotFoundError, type Violation } from '#shared/errors.ts'
import { planned } from '#shared/service/plan.ts'
import { checking } from '#shared/service/violations.ts'
import { placeDisks } from './disks.ts'
import { roomViolations } from './room.ts'

export type Wanted = Omit<Params<typeof migrations, 'check'>, 'plan'>
export type Planned = { plan: MigrationPlan; vm: Vm; isHa: boolean }

export const vmPath = (id: string) => `/api/vms/${id}`

/** The type of a migration; the older word `online` must not contradict it. */
export function typeOf({ migration_type, online }: Wanted, violations: Violation[]): MigrationType {
  if (migration_type === undefined) return online === false ? 'offline' : 'live'
  if (online !== undefined && online !== (migration_type !== 'offline'))
    violations.push({ field: 'online', code: 'contradiction', message: `contradicts migration_type ${migration_type}` })
  return migration_type
}

const allPools = () => allPages((page) => call(pools, 'list', page))

/** Violations of the target node by itself. */
async function checkNode(id: string, violations: Violation[]): Promise<void> {
  const node = await checking('target_node', violations, () => call(nodes, 'get', { id }))
  if (node?.maintenance)
    violations.push({ field: 'target_node', code: 'maintenance', message: `node '${id}' is in maintenance` })
  if (node && node.status !== 'online')
    violations.push({
      field: 'target_node',
      code: 'offline',
      message: `node '${id}' is ${node.status}${node.status_reason === null ? '' : `: ${node.status_reason}`}`,
    })
}

/** Bytes of data in disks that are copied, and violations of their volumes. */
async function checkCopies(
  vm: Vm,
  disks: TargetDisk[],
  all: Pool[],
  { target_node, isLive }: { target_node: string; isLive: boolean },
  violations: Violation[],
): Promise<number> {
  let bytes = 0
  const needed = new Map<string, number>()
  for (const { id, pool, volume } of disks.filter(({ is_copied }) => is_copied)) {
    const disk = vm.disks.find((each) => each.id === id)!
    const there = await call(volumes, 'get', { id: pool, volume }).catch((error: unknown) => {
      if (error instanceof NotFoundError) return null
      throw error
    })
    if (there)
      violations.push({
        field: 'disks',
        code: 'taken',
        message: `storage pool '${pool}' has a volume '${volume}' already`,
      })
    const source = { id: disk.pool!, volume: disk.volume! }
    const { data_bytes } = await call(volumesInternal, 'measure', source, { timeoutMs: 120_000 })
    bytes += data_bytes
    needed.set(pool, (needed.get(pool) ?? 0) + data_bytes)
  }
  if (!isLive && needed.size > 0) {
    const ends = { source_node: vm.node, target_node, disks: [] }
    violations.push(...(await call(volumesInternal, 'checkAcross', ends, { timeoutMs: 60_000 })).violations)
  }
  for (const [id, size] of needed) {
    const available = all.find((pool) => pool.id === id)?.available_bytes
    if (available !== null && available !== undefined && available < size)
      violations.push({
        field: 'target_pool',
        code: 'no_room',
        message: `storage pool '${id}' has ${available} bytes free; its disks have ${size} bytes of data`,
      })
  }
  const { data: clones } = await call(volumesInternal, 'clonesOf', { owners: [vmPath(vm.id)] })
  if (needed.size > 0 && clones.length > 0)
    violations.push({
      field: 'disks',
      code: 'has_clones',
      message: `linked clones read from its disks, which would be deleted here: ${clones.map(({ clone }) => clone).join(', ')}`,
    })
  return bytes
}

/** Everything that keeps a VM from moving to a node, at once. Changes nothing. @throws NotFoundError for no such VM */
export async function planMigration(wanted: Wanted): Promise<Planned> {
  const { vm_id, target_node, target_pool } = wanted
  const violations: Violation[] = []
  const migration_type = typeOf(wanted, violations)
  const known = await call(vms, 'get', { id: vm_id })
  if (known.node === target_node)
    violations.push({ field: 'target_node', code: 'same', message: `it is on node '${target_node}' already` })
  else await checkNode(target_node, violations)
  const empty = { disks: [], violations: [], warnings: [] }
  if (violations.length > 0)
    return { vm: known, isHa: false, plan: planOf(known, target_node, migration_type, empty, violations, 0) }

  const is_live = migration_type !== 'offline'
  const [found, room] = await Promise.all([
    call(moves, 'check', { id: vm_id, target: target_node, is_live }, { timeoutMs: 60_000 }),
    known.status === 'stopped' ? [] : roomViolations(vm_id, target_node),
  ])
  const { vm } = found
  violations.push(...found.violations, ...(vm.status === 'stopped' ? [] : room))
  if (is_live && vm.status === 'stopped')
    violations.push({ field: 'migration_type', code: 'stopped', message: 'it is off: use offline' })
  if (vm.status === 'unknown')
    violations.push({ field: 'vm_id', code: 'unknown', message: `its status is unknown: ${vm.status_reason ?? ''}` })
  if (found.has_snapshots)
    violations.push({
      field: 'vm_id',
      code: 'snapshots',
      message: 'it has snapshots, which do not move: delete them first',
    })
  const all = await allPools()
  const placed = placeDisks(vm, all, target_node, target_pool)
  violations.push(...placed.violations)
  const bytes = await checkCopies(vm, placed.disks, all, { target_node, isLive: is_live }, violations)
  if (wanted.post_copy === 'when_not_converging') {
    const unfit = postCopyRefusal(migration_type, placed.disks)
    if (unfit) violations.push({ field: 'post_copy', code: 'unfit', message: unfit })
  }
  const warnings = [...found.warnings, ...placed.warnings]
  if (wanted.post_copy === 'when_not_converging' && found.is_ha)
    warnings.push('It is under HA, and in post-copy the loss of either node ends it')
  const plan = planOf(vm, target_node, migration_type, { ...placed, warnings }, violations, bytes)
  return { vm, isHa: found.is_ha, plan }
}

/** The reason for which a move cannot go over to post-copy; null when it can. */
function postCopyRefusal(type: MigrationType, disks: TargetDisk[]): string | null {
  if (type !== 'live') return `only a live migration goes over to post-copy, this one is ${type}`
  const copied = disks.filter(({ is_copied }) => is_copied).map(({ id }) => id)
  return copied.length === 0 ? null : `its disks ${copied.join(', ')} are copied, which post-copy does not do`
}

function planOf(
  vm: Vm,
  target_node: string,
  migration_type: MigrationType,
  { disks, warnings }: { disks: TargetDisk[]; warnings: string[] },
  violations: Violation[],
  bytes_to_copy: number,
): MigrationPlan {
  const effects = { vm_id: vm.id, source_node: vm.node, target_node, migration_type, disks, violations }
  const is_possible = violations.length === 0
  return planned({ ...effects, is_possible, bytes_to_copy, forecast: null, warnings }, effects)
}
