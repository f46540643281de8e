import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { backups, RestorePlan } from '#shared/contracts/storage/backups.ts'
import { isReachedFrom } from '#shared/contracts/storage/pools.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { alreadyExists, NotFoundError, type Violation } from '#shared/errors.ts'
import { idFrom, newId } from '#shared/ids.ts'
import type { Accepting, Op } from '#shared/operation/kinds.ts'
import { waitForEnd } from '#shared/operation/wait.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { throwAll } from '#shared/service/violations.ts'
import { driverOf } from '../../drivers/drivers.ts'
import { poolRecords, volumeRecords } from '../../models.ts'
import { openPool } from '../../pools/open-pool.ts'
import { configOf } from '../../pools/pool-config.ts'
import { requireRoom } from '../../pools/room.ts'
import { makeVolume, undoVolume } from '../../volumes/make.ts'
import { apiPathOf as volumePathOf, volumeId, type VolumeSpec } from '../../volumes/records.ts'
import { type BackupRecord, backupRecords } from '../model.ts'
import type { Manifest } from '../store/manifest.ts'
import { manifestOf, openStore } from '../store/open-store.ts'
import { differencesOf, placesOf } from './differences.ts'
import { restoreImage } from './images.ts'
import { newVmOf } from './new-vm.ts'

type Given = Params<typeof backups, 'restore'>
export type RestoringNew = {
  to: 'new'
  backup: string
  vm: string
  name: string
  node: string
  keepMacs: boolean
  start: boolean
  volumes: VolumeSpec[]
}

const unlessMissing = <T>(asked: Promise<T>): Promise<T | null> =>
  asked.catch((error: unknown) => {
    if (error instanceof NotFoundError) return null
    throw error
  })

/** The storage pool and format of a restored disk; adds what stands against it to the violations. */
async function placeDisk(
  disk: Manifest['disks'][number],
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

async function freeName(manifest: Manifest, given: string | undefined): Promise<string> {
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

/** Deletes the VM that a restore has made, with its disks free again. */
async function undoVm(op: Op, id: string): Promise<void> {
  const operationId = idFrom(`${op.id}/undo vm`)
  if (!(await unlessMissing(call(vms, 'get', { id })))) return
  await call(vms, 'delete', { id, purge: false }, { operationId })
  await waitForEnd(operationId)
}

export async function runNew(op: Op, restoring: RestoringNew): Promise<Vm> {
  const { backup, vm, node, volumes, start } = restoring
  const read = async () => {
    const record = await backupRecords.require(backup)
    return { manifest: await manifestOf(record), objects: await openStore(record.pool) }
  }
  const total = (await backupRecords.require(backup)).data_bytes
  let before = 0
  for (const [index, volume] of volumes.entries()) {
    const within = { before, total }
    const fill = async () => {
      const { manifest, objects } = await read()
      const record = await makeVolume(volume, null, node)
      await restoreImage(op, objects, manifest.disks[index]!, await openPool(volume.pool, node), record, within)
    }
    await op.step(`restoring disk ${index}`, fill, { undo: () => undoVolume(volume, null) })
    before += (await backupRecords.require(backup)).disks[index]?.data_bytes ?? 0
  }
  const { manifest } = await read()
  const named = volumes.map(({ pool, name: volume }) => ({ pool, volume }))
  const request = newVmOf(manifest, {
    id: vm,
    name: restoring.name,
    node,
    keepMacs: restoring.keepMacs,
    volumes: named,
  })
  const made = await op.child(vms, 'create', request, { name: 'creating virtual machine', undo: () => undoVm(op, vm) })
  const { guest_state } = manifest
  if (guest_state !== null) {
    await op.step('restoring state', () => call(vmBackups, 'putState', { id: vm, guest_state }))
  }
  // A start that fails leaves the restored VM.
  await op.commit()
  return start ? op.child(vms, 'start', { id: vm }, { name: 'starting' }) : made
}
