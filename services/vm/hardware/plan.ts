import { call } from '#shared/bus/call.ts'
import type { AppliancePart } from '#shared/contracts/storage/appliances.ts'
import { isReachedFrom, type Pool, pools } from '#shared/contracts/storage/pools.ts'
import type { NewDisks, NewNics, Nic } from '#shared/contracts/vm/hardware.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import type { ForeignDisk } from '#shared/contracts/storage/volumes-internal.ts'
import type { Violation } from '#shared/errors.ts'
import type { Naming } from '../drivers/driver.ts'
import type { DiskRecord } from '../model.ts'
import { newDeviceId } from './devices/named.ts'
import { type Image, planImage } from './images.ts'
import { newMac, ownerOf } from './macs.ts'
import { checking } from '#shared/service/violations.ts'

/** A disk to be made or attached: its source is known after that. */
export type WantedDisk = Omit<DiskRecord, 'source' | 'pool' | 'volume'> & { pool: string; volume: string }
/** `isNew`: its volume is made first, with a copy of the image, of the part of an upload, or of a disk elsewhere, if there is one. */
export type PlannedDisk = {
  disk: WantedDisk
  isNew: boolean
  image?: Image
  part?: AppliancePart
  foreign?: ForeignDisk
}
/** A disk that is a volume of a storage pool. */
export type Pooled = WantedDisk & Pick<DiskRecord, 'source'>
export const isInPool = (disk: DiskRecord): disk is Pooled => disk.pool !== null && disk.volume !== null

/** The place of each disk among those of its kind; null for one that its bus has no place for. */
export function placesFor({ nextPlace }: Naming, buses: DiskRecord['bus'][]): (string | null)[] {
  const used: string[] = []
  return buses.map((bus) => {
    const place = nextPlace(used, bus)
    if (place !== null) used.push(place)
    return place
  })
}

/** The violation for a storage pool that a VM's node does not reach. */
export const unreachedMessage = ({ nodes }: Pick<Pool, 'nodes'>, node: string) =>
  `is on node ${nodes?.map((each) => `'${each}'`).join(', ')}, the VM on '${node}'`

/** The format of a new volume, the storage pool's default unless given; undefined, with a violation, for none. */
function requireFormat(
  { capabilities: { formats, default_format } }: Pool,
  given: DiskRecord['format'] | undefined,
  field: string,
  violations: Violation[],
): DiskRecord['format'] | undefined {
  const format = given ?? default_format
  if (format && formats.includes(format)) return format
  const [place, message] = format
    ? [`${field}.format`, `the storage pool has only ${formats.join(', ')}`]
    : [`${field}.pool`, 'holds no volumes']
  violations.push({ field: place, code: 'unsupported', message })
  // The other fields of the disk are checked as well.
  return format ?? undefined
}

/** The disks of a new VM, each in a storage pool that its node reaches. */
export async function planDisks(
  vmId: string,
  node: string,
  given: NewDisks,
  violations: Violation[],
  { places, names = given.map((_, index) => `${vmId}-disk-${index}`) }: { places: (string | null)[]; names?: string[] },
): Promise<PlannedDisk[]> {
  const planned = given.map(async (wanted, index): Promise<PlannedDisk | undefined> => {
    const field = `disks.${index}`
    const id = places[index] ?? null
    if (id === null)
      violations.push({ field: `${field}.bus`, code: 'full', message: `${wanted.bus} has no place for another disk` })
    const pool = await checking(`${field}.pool`, violations, () => call(pools, 'get', { id: wanted.pool }))
    if (!pool) return undefined
    if (!isReachedFrom(pool, node))
      violations.push({
        field: `${field}.pool`,
        code: 'unreachable',
        message: unreachedMessage(pool, node),
      })
    if (pool.state !== 'active')
      violations.push({ field: `${field}.pool`, code: 'inactive', message: `'${pool.id}' is not active` })
    const place = { id: id ?? '', device_id: newDeviceId(), pool: pool.id, bus: wanted.bus, cache: wanted.cache }
    if (!('volume' in wanted)) {
      const format = requireFormat(pool, wanted.format, field, violations)
      if (!format) return undefined
      const disk = { ...place, volume: names[index]!, format, readonly: false }
      if (!('image' in wanted)) return { isNew: true, disk: { ...disk, size_bytes: wanted.size } }
      const found = await planImage(node, wanted, field, violations)
      return found && { isNew: true, disk: { ...disk, size_bytes: found.size_bytes }, image: found.image }
    }
    const volume = await checking(`${field}.volume`, violations, () =>
      call(volumes, 'get', { id: pool.id, volume: wanted.volume }),
    )
    if (!volume) return undefined
    if (volume.used_by)
      violations.push({ field: `${field}.volume`, code: 'in_use', message: `belongs to ${volume.used_by}` })
    const { format, size_bytes } = volume
    return {
      isNew: false,
      disk: { ...place, volume: wanted.volume, format, size_bytes, readonly: wanted.readonly },
    }
  })
  return (await Promise.all(planned)).filter((disk) => disk !== undefined)
}

/** The NICs of a new VM. An address that is not given is new in the installation. @param vm the new one */
export async function planNics(given: NewNics, violations: Violation[], vm?: string): Promise<Nic[]> {
  const taken = new Set<string>()
  const isTaken = async (mac: string) => taken.has(mac) || (await ownerOf(mac, vm)) !== undefined
  const planned: Nic[] = []
  for (const [index, { network = null, bridge = null, mac, model }] of given.entries()) {
    const field = `nics.${index}`
    if ((network === null) === (bridge === null))
      violations.push({ field, code: 'one_of', message: 'must have either a network or a bridge' })
    if (mac && (await isTaken(mac)))
      violations.push({ field: `${field}.mac`, code: 'taken', message: `${mac} belongs to another NIC` })
    const address = mac ?? (await newMac(taken))
    taken.add(address)
    planned.push({ mac: address, device_id: newDeviceId(), network, bridge, model })
  }
  return planned
}
