import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { backups, RestorePlan } from '#shared/contracts/storage/backups.ts'
import { isReachedFrom } from '#shared/contracts/storage/pools.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { alreadyExists, type Violation } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import type { Accepting, Op } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { throwAll } from '#shared/service/violations.ts'
import { driverOf } from '../../drivers/drivers.ts'
import { poolRecords, volumeRecords } from '../../models.ts'
import { openPool } from '../../pools/open-pool.ts'
import { configOf } from '../../pools/pool-config.ts'
import { requireRoom } from '../../pools/room.ts'
import { apiPathOf as volumePathOf, volumeId, type VolumeSpec } from '../../volumes/records.ts'
import type { BackupRecord } from '../model.ts'
import type { VmManifest } from '../store/manifest.ts'
import { manifestOf } from '../store/open-store.ts'
import { type Building, buildVm, unlessMissing } from './build-vm.ts'
import { differencesOf, placesOf } from './differences.ts'

type Given = Params<typeof backups, 'restore'>
export type RestoringNew = Building & { to: 'new'; start: boolean }

/** The storage pool and format of a restored disk; adds what stands against it to the violations. */
async function placeDisk(
  disk: VmManifest['disks'][number],
  wanted: string | undefined,
  node: string,
  violations: Violation[],
) {
  const id = wanted ?? disk.pool
  const wrong = (code: string, message: string) => {
    violations.push({ field: 'pool', code, message })
    return { pool: id, format: disk.format }
  }
  const pool = await poolRecords.get(id)
  const hint = wanted === undefined ? `, where disk ${disk.id} was: name another one` : ''
  if (!pool) return wrong('not_found', `Storage pool '${id}' not found${hint}`)
  if (pool.state !== 'active') return wrong('inactive', `Storage pool '${id}' is not active${hint}`)
  if (!isReachedFrom(pool, node))
    return wrong('unreachable', `Storage pool '${id}' is not reached from node '${node}'${hint}`)
  const { formats, default_format } = driverOf(pool).capabilitiesOf(configOf(pool))
  if (default_format === null) return wrong('unsupported', `No volumes are made in storage pool '${id}'${hint}`)
  return { pool: id, format: formats.includes(disk.format) ? disk.format : default_format }
}

async function freeName(manifest: VmManifest, given: string | undefined): Promise<string> {
  if (given !== undefined) return given
  const { data } = await call(vms, 'list', { limit: 1000, filter: `name:${manifest.vm_name}*` })
  const taken = new Set(data.map(({ name }) => name))
  for (let count = 0; ; count++) {
    const name = count === 0 ? manifest.vm_name : `${manifest.vm_name}-restored${count === 1 ? '' : `-${count}`}`
    if (!taken.has(name)) return name
  }
}

/** Checks a restore to a new VM, without effects. @throws ValidationError with all violations */
export async function planNew(
  backup: BackupRecord,
  given: Given,
  asked: Call,
): Promise<{ plan: Omit<RestorePlan, 'plan_id'>; volumes: VolumeSpec[] }> {
  const { vm_id: id = newId(), keep_macs } = given
  requireRight(asked, 'VmAllocate', `/api/vms/${id}`)
  const manifest = await manifestOf(backup)
  const node = given.node ?? manifest.node
  const violations: Violation[] = []
  const disks: RestorePlan['disks'] = []
  const places = placesOf(manifest.disks)
  for (const [index, disk] of manifest.disks.entries()) {
    const placed = await placeDisk(disk, given.pool, node, violations)
    requireRight(asked, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(placed.pool)}`)
    disks.push({ id: places[index]!, ...placed, volume: `${id}-disk-${index}`, size_bytes: disk.size_bytes })
  }
  const name = await freeName(manifest, given.name)
  if (await unlessMissing(call(vms, 'get', { id }))) throw alreadyExists(id, { field: 'vm_id' })
  for (const { pool, volume } of disks)
    if (await volumeRecords.get(volumeId(pool, volume))) throw alreadyExists(volume, { field: 'vm_id' })
  throwAll(violations)
  const target = { name, node, keepMacs: keep_macs, disks }
  const differences = differencesOf(manifest, target)
  const plan = { to: 'new' as const, vm_id: id, name, node, disks, data_bytes: backup.data_bytes, differences }
  const volumes = disks.map(({ pool, volume, format, size_bytes }) => {
    return { pool, name: volume, format: format as VolumeSpec['format'], size_bytes }
  })
  return { plan, volumes }
}

export async function acceptNew(backup: BackupRecord, given: Given, accepting: Accepting): Promise<RestoringNew> {
  const { plan, volumes } = await planNew(backup, given, accepting)
  const { vm_id: vm, name, node } = plan
  await accepting.hold(...volumes.map((volume) => volumePathOf(volume.pool, volume.name)))
  for (const pool of new Set(volumes.map((volume) => volume.pool))) {
    const inPool = volumes.flatMap((volume, index) =>
      volume.pool === pool ? [backup.disks[index]?.data_bytes ?? 0] : [],
    )
    await requireRoom(
      await openPool(pool, node),
      inPool.reduce((sum, bytes) => sum + bytes, 0),
    )
  }
  return { to: 'new', backup: backup.id, vm, name, node, keepMacs: given.keep_macs, start: given.start, volumes }
}

export async function runNew(op: Op, restoring: RestoringNew): Promise<Vm> {
  const made = await buildVm(op, restoring)
  // A start that fails leaves the restored VM.
  await op.commit()
  return restoring.start ? op.child(vms, 'start', { id: restoring.vm }, { name: 'starting' }) : made
}
