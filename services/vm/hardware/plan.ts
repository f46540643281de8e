import { call } from '#shared/bus/call.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { Disk, NewDisks, NewNics, Nic } from '#shared/contracts/vm/hardware.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import type { Violation } from '#shared/errors.ts'
import type { Naming } from '../drivers/driver.ts'
import { type Image, planImage } from './images.ts'
import { newMac, ownerOf } from './macs.ts'
import { checking } from '../violations.ts'

/** A disk as it will be; a new one has its bytes made first, of an image where there is one. */
export type PlannedDisk = { disk: Pooled; isNew: boolean; image?: Image }
/** A disk that is a volume of a pool, and not known by its path alone. */
export type Pooled = Disk & { pool: string; volume: string }
export const isInPool = (disk: Disk): disk is Pooled => disk.pool !== null && disk.volume !== null

/** The place of each disk among those of its kind; null for one that its bus has no place for. */
export function placesFor({ nextPlace }: Naming, buses: Disk['bus'][]): (string | null)[] {
  const used: string[] = []
  return buses.map((bus) => {
    const place = nextPlace(used, bus)
    if (place !== null) used.push(place)
    return place
  })
}

/** The disks of a new VM, each in a pool that its node reaches. */
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
    if (pool.node !== node && !pool.capabilities.shared)
      violations.push({
        field: `${field}.pool`,
        code: 'unreachable',
        message: `is on node '${pool.node}', the VM on '${node}'`,
      })
    if (pool.state !== 'active')
      violations.push({ field: `${field}.pool`, code: 'inactive', message: `'${pool.id}' is not active` })
    const place = { id: id ?? '', pool: pool.id, bus: wanted.bus, cache: wanted.cache }
    if (!('volume' in wanted)) {
      if (!pool.capabilities.formats.includes(wanted.format))
        violations.push({
          field: `${field}.format`,
          code: 'unsupported',
          message: `the pool has only ${pool.capabilities.formats.join(', ')}`,
        })
      const disk = {
        ...place,
        volume: names[index]!,
        path: '/',
        format: wanted.format,
        readonly: false,
      }
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
    const { path, format, size_bytes } = volume
    return {
      isNew: false,
      disk: { ...place, volume: wanted.volume, path, format, size_bytes, readonly: wanted.readonly },
    }
  })
  return (await Promise.all(planned)).filter((disk) => disk !== undefined)
}

/** The NICs of a new VM; an address that is not given is one that no other VM of the installation has. */
export async function planNics(given: NewNics, violations: Violation[]): Promise<Nic[]> {
  const taken = new Set<string>()
  const isTaken = async (mac: string) => taken.has(mac) || (await ownerOf(mac)) !== undefined
  const planned: Nic[] = []
  for (const [index, { network = null, bridge = null, mac, model }] of given.entries()) {
    const field = `nics.${index}`
    if ((network === null) === (bridge === null))
      violations.push({ field, code: 'one_of', message: 'must have either a network or a bridge' })
    if (mac && (await isTaken(mac)))
      violations.push({ field: `${field}.mac`, code: 'taken', message: `${mac} belongs to another NIC` })
    const address = mac ?? (await newMac(taken))
    taken.add(address)
    planned.push({ mac: address, network, bridge, model })
  }
  return planned
}
