/** Reads a domain's XML into the fields of a VM's record. */
import { isDeepStrictEqual } from 'node:util'
import type { Disk, Firmware, Nic } from '#shared/contracts/vm/hardware.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { sourceOf } from './disk-source.ts'
import { at, attribute, type Element, elements, textOf } from './xml.ts'

const bytesOf: Record<string, number> = { b: 1, bytes: 1 }
for (const [power, letter] of ['k', 'm', 'g', 't', 'p'].entries()) {
  bytesOf[`${letter}b`] = 1000 ** (power + 1)
  bytesOf[letter] = bytesOf[`${letter}ib`] = 1024 ** (power + 1)
}

/** A size in MiB, rounded down; libvirt counts in KiB unless it says otherwise. */
function mib(of: Element | undefined): number | null {
  return of ? Math.max(1, Math.floor(kibOf(of, textOf(of)) / 1024)) : null
}

/** A number of an element, in KiB by its `unit`. */
export function kibOf(of: Element, count: string): number {
  return (Number(count) * (bytesOf[(attribute(of, 'unit') ?? 'KiB').toLowerCase()] ?? 1024)) / 1024
}

export const memoryOf = (domain: Element) => mib(at(domain, 'memory')) ?? 1
/** MiB of the balloon; null when the guest has all of its memory. */
export function balloonOf(domain: Element): number | null {
  const current = mib(at(domain, 'currentMemory'))
  return current === null || current >= memoryOf(domain) ? null : current
}

export function cpusOf(domain: Element): Pick<Vm, 'cpus' | 'max_cpus'> {
  const vcpu = at(domain, 'vcpu')
  const most = Number(textOf(vcpu) || 1)
  const cpus = Number(attribute(vcpu, 'current') ?? most)
  return { cpus, max_cpus: cpus === most ? null : most }
}

export function processorOf(domain: Element): Pick<Vm, 'cpu_model' | 'topology'> {
  const cpu = at(domain, 'cpu')
  const mode = attribute(cpu, 'mode')
  const model = textOf(at(cpu, 'model'))
  const topology = at(cpu, 'topology')
  const count = (name: string) => Number(attribute(topology, name) ?? 1)
  return {
    cpu_model: mode === undefined || mode === 'custom' ? model || null : mode,
    topology: topology
      ? { sockets: count('sockets') * count('dies'), cores: count('cores'), threads: count('threads') }
      : null,
  }
}

export function firmwareOf(domain: Element): Firmware {
  const os = at(domain, 'os')
  const isUefi = attribute(os, 'firmware') === 'efi' || attribute(at(os, 'loader'), 'type') === 'pflash'
  return isUefi ? 'uefi' : 'bios'
}

export function bootOf(domain: Element): Vm['boot'] {
  const os = at(domain, 'os')
  const [kernel, initrd, cmdline] = ['kernel', 'initrd', 'cmdline'].map((name) => textOf(at(os, name)))
  if (!kernel) return null
  return { kernel, ...(initrd && { initrd }), ...(cmdline && { cmdline }) }
}

const devicesOf = (domain: Element, name: string) => elements(at(domain, 'devices'), name)
/** Our name of the drive for the ISO; an adopted domain has another. */
export const isoDrive = 'sdz'
/** Its port on the first SATA controller; a disk that would be there gets the next name. */
export const isoPort = 5
/** Our usual name of the drive for a cloud-init seed; a domain that has another disk there has another, named in our mark. */
export const seedDrive = 'sdy'
export const targetOf = (disk: Element) => attribute(at(disk, 'target'), 'dev') ?? ''
/** The path of the medium in a drive; null for an empty one. */
export const mediumOf = (drive: Element) => {
  const source = sourceOf(drive)
  return source && pathOfSource(source)
}
export const isCdrom = (disk: Element) => attribute(disk, 'device') === 'cdrom'
export const macOf = (nic: Element) => attribute(at(nic, 'mac'), 'address')?.toLowerCase() ?? ''
export const cacheOf = (disk: Element) => attribute(at(disk, 'driver'), 'cache') ?? 'default'
export const formatOf = (disk: Element) => attribute(at(disk, 'driver'), 'type') ?? 'raw'

const drivesIn = (domain: Element) => devicesOf(domain, 'disk').filter(isCdrom)
/** The drive for the cloud-init seed, which our mark names. */
export function seedIn(domain: Element): Element | undefined {
  const { disks, seed } = markOf(domain)
  return disks.includes(seed) ? drivesIn(domain).find((drive) => targetOf(drive) === seed) : undefined
}
/** The drive for the ISO: ours, else the first that is not the seed's. */
export function cdromIn(domain: Element): Element | undefined {
  const seed = seedIn(domain)
  const drives = drivesIn(domain).filter((drive) => drive !== seed)
  return drives.find((drive) => targetOf(drive) === isoDrive) ?? drives[0]
}
export const isoOf = (domain: Element) => {
  const drive = cdromIn(domain)
  return drive ? mediumOf(drive) : null
}

/** The displays that Horcrux can show. */
export const graphicsOf = (domain: Element): ('vnc' | 'spice')[] =>
  (['vnc', 'spice'] as const).filter((type) =>
    devicesOf(domain, 'graphics').some((each) => attribute(each, 'type') === type),
  )
export const videoOf = (domain: Element) => attribute(at(devicesOf(domain, 'video')[0], 'model'), 'type') ?? 'none'

/** The disks whose source a record can describe. */
export const diskElementsOf = (domain: Element) =>
  devicesOf(domain, 'disk').filter(
    (disk) => (attribute(disk, 'device') ?? 'disk') === 'disk' && sourceOf(disk) !== null,
  )

type FoundDisk = Pick<Disk, 'id' | 'source' | 'readonly'> & Record<'format' | 'bus' | 'cache', string>
const diskOf = (disk: Element): FoundDisk => ({
  id: targetOf(disk),
  source: sourceOf(disk)!,
  format: formatOf(disk),
  bus: attribute(at(disk, 'target'), 'bus') ?? '',
  cache: cacheOf(disk),
  readonly: at(disk, 'readonly') !== undefined,
})

export const modelOf = (nic: Element) => attribute(at(nic, 'model'), 'type') ?? 'rtl8139'

const nicOf = (nic: Element): Omit<Nic, 'device_id'> => ({
  mac: macOf(nic),
  network: attribute(at(nic, 'source'), 'network') ?? null,
  bridge: attribute(nic, 'type') === 'bridge' ? (attribute(at(nic, 'source'), 'bridge') ?? null) : null,
  model: modelOf(nic),
})
const nicsOf = (domain: Element) =>
  devicesOf(domain, 'interface').filter((nic) => ['network', 'bridge'].includes(attribute(nic, 'type') ?? ''))

const nameOf = (device: Element) =>
  device.name === 'interface' ? macOf(device) : isCdrom(device) ? 'cdrom' : targetOf(device)
const bootable = (domain: Element) => [...devicesOf(domain, 'disk'), ...devicesOf(domain, 'interface')]
/** All names that a boot order can have: disks, `cdrom` and MAC addresses. */
export const namesOf = (domain: Element) => bootable(domain).map(nameOf)

/** The boot order of the devices' own `<boot>`; null where `<os>` has it. */
export function bootOrderOf(domain: Element): string[] | null {
  const placed = bootable(domain).flatMap((device) => {
    const order = attribute(at(device, 'boot'), 'order')
    return order === undefined ? [] : [{ name: nameOf(device), order: Number(order) }]
  })
  const names = placed.toSorted((a, b) => a.order - b.order).map(({ name }) => name)
  return names.length === 0 ? null : [...new Set(names)]
}

/** The part of that order that a record can have: no floppies, no NICs outside the node's networks. */
function knownOrderOf(domain: Element): string[] | null {
  const known = new Set(['cdrom', ...diskElementsOf(domain).map(targetOf), ...nicsOf(domain).map(macOf)])
  const names = bootOrderOf(domain)?.filter((name) => known.has(name)) ?? []
  return names.length === 0 ? null : names
}

const marked = (domain: Element) => at(domain, 'metadata', 'horcrux:vm')
const words = (text = '') => text.split(' ').filter(Boolean)
/** The sources of our disks by place. Null: the mark of an earlier version, which has only their places. */
function markedSources(mark: Element | undefined): Map<string, string> | null {
  if (attribute(mark, 'seed') === undefined) return null
  const places = elements(mark, 'horcrux:disk')
  return new Map(places.map((disk) => [attribute(disk, 'place') ?? '', attribute(disk, 'source') ?? '']))
}

/** Our mark: the VM's id and name, the names of our devices, and the sources of our disks. */
export const markOf = (domain: Element) => ({
  id: attribute(marked(domain), 'id') ?? null,
  name: attribute(marked(domain), 'name') ?? null,
  /** The operation that made the domain; null for one that was there before, and adopted. */
  madeBy: attribute(marked(domain), 'made_by') ?? null,
  disks: words(attribute(marked(domain), 'disks')),
  nics: words(attribute(marked(domain), 'nics')),
  seed: attribute(marked(domain), 'seed') ?? seedDrive,
  sources: markedSources(marked(domain)),
})

/** The sizes that are copied into the record when somebody changes them with virsh. */
export const sizeOf = (domain: Element) => ({ memory: memoryOf(domain), balloon: balloonOf(domain), ...cpusOf(domain) })
export type Size = ReturnType<typeof sizeOf>

/** All fields of a record that a domain has. */
export const readDomain = (domain: Element) => ({
  name: textOf(at(domain, 'name')),
  uuid: textOf(at(domain, 'uuid')),
  description: textOf(at(domain, 'description')),
  type: attribute(domain, 'type') ?? '',
  os: textOf(at(domain, 'os', 'type')),
  architecture: attribute(at(domain, 'os', 'type'), 'arch') ?? '',
  ...sizeOf(domain),
  ...processorOf(domain),
  firmware: firmwareOf(domain),
  boot: bootOf(domain),
  boot_order: knownOrderOf(domain),
  iso: isoOf(domain),
  // A domain that is read for adoption has no seed of ours.
  seed: null,
  graphics: graphicsOf(domain),
  video: videoOf(domain),
  disks: diskElementsOf(domain).map(diskOf),
  nics: nicsOf(domain).map(nicOf),
})
export type Found = ReturnType<typeof readDomain>

/** True when two domains are equal in one part. */
export const isSame = <T>(one: Element, other: Element, read: (domain: Element) => T) =>
  isDeepStrictEqual(read(one), read(other))
