import type { Result } from '#shared/contract/contract.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { call } from '#shared/bus/call.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { now } from '#shared/events/event.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { DiskImage } from '../drivers/parts.ts'
import { type DiskRecord, type VmRecord, vmRecords } from '../model.ts'
import { recordForeign } from '../state/foreign.ts'
import { type SnapshotDisk, type SnapshotRecord, volumesOf } from './model.ts'

/** Disks with the source, format and size that their volumes have by now. */
export const withVolumes = (disks: readonly DiskRecord[], volumes: readonly Volume[]): DiskRecord[] =>
  disks.map((disk) => {
    const volume = volumes.find((each) => each.pool === disk.pool && each.name === disk.volume)
    if (!volume) return disk
    const { source, format, size_bytes } = volume
    return { ...disk, source, format, size_bytes }
  })

/** Has record and definition name the images that the volumes of a VM are by now. May be repeated. */
export async function followVolumes(vm: string, volumes: readonly Volume[]): Promise<VmRecord> {
  const written = await vmRecords.change(vm, ({ disks }) => ({
    set: { disks: withVolumes(disks, volumes), defined: false },
  }))
  return define(written)
}

/** Writes the definition of a VM whose record has changed. */
export async function define(vm: VmRecord): Promise<VmRecord> {
  if (vm.template) return vm
  await driverOf(vm).define(vm)
  const defined = await vmRecords.updateWhere({ _id: vm.id }, { set: { defined: true } })
  await recordForeign(vm.id)
  return defined ?? vm
}

/** The images of new heads, by the places of their disks in the guest. */
export const imagesOf = (
  disks: readonly SnapshotDisk[],
  heads: readonly { id: string; source: DiskImage['source']; format: DiskImage['format'] }[],
): DiskImage[] =>
  heads.flatMap(({ id, source, format }) => {
    const disk = disks.find(({ pool, volume }) => `${pool}/${volume}` === id)
    return disk ? [{ disk: disk.id, source, format }] : []
  })

type Usage = Result<typeof volumeSnapshots, 'usage'>['data']

/** The bytes of the snapshots of some volumes. */
export const usageOn = async (disks: readonly { pool: string; volume: string }[], node: string): Promise<Usage> =>
  (await call(volumeSnapshots, 'usage', { disks: volumesOf(disks), node }, { timeoutMs: 30_000 })).data

/** A record with the bytes that were measured. */
export function withUsage(record: SnapshotRecord, data: Usage): SnapshotRecord {
  const { id, memory_bytes } = record
  const disks = record.disks.map((disk) => {
    const found = data.find((each) => each.snapshot === id && each.id === `${disk.pool}/${disk.volume}`)
    return { ...disk, held_bytes: found?.held_bytes ?? null, freed_bytes: found?.freed_bytes ?? null }
  })
  const isKnown = disks.every(({ held_bytes }) => held_bytes !== null)
  const held = disks.reduce((sum, { held_bytes }) => sum + (held_bytes ?? 0), 0)
  return { ...record, disks, size_bytes: isKnown ? held + (memory_bytes ?? 0) : null, measured_at: now() }
}

/** Measures the bytes of a snapshot. @returns the record with them */
export const measured = async (record: SnapshotRecord, node: string): Promise<SnapshotRecord> =>
  withUsage(record, await usageOn(record.disks, node))
