/**
 * Reads OVF descriptors (DSP0243, versions 1 and 2) as VMware, VirtualBox, oVirt and virt-v2v write them. Their extensions
 * are read for firmware, addresses and sockets; all that no VM here has is told by name.
 */
import type { Appliance } from '#shared/contracts/storage/appliances.ts'
import { readDisks } from './disks.ts'
import { type Item, itemsOf, ofType, types, unmappedItems } from './items.ts'
import { bytesIn, numberIn } from './units.ts'
import { at, attribute, childrenOf, type Element, kindOf, parseDescriptor, sections, textOf, within } from './xml.ts'

const mostTold = 100
const mostLetters = 200
const mostText = 8192

/** Sections that are read, and those without an effect on a VM. */
const readSections = new Set(['References', 'DiskSection', 'NetworkSection', 'VirtualSystem', 'VirtualHardwareSection'])
const withoutEffect = new Set([
  'Strings',
  'EulaSection',
  'AnnotationSection',
  'OperatingSystemSection',
  'Info',
  'Name',
  'Machine',
])

/** The one virtual system. @throws Error for several */
function systemOf(envelope: Element): Element {
  const found = [envelope, ...within(envelope, 'VirtualSystemCollection')].flatMap((each) =>
    sections(each, 'VirtualSystem'),
  )
  const [system] = found
  if (!system) throw new Error('it has no virtual system')
  if (found.length > 1) throw new Error(`it has ${found.length} virtual systems; one is imported at a time`)
  return system
}

/** Values of `vmw:Config` and `vmw:ExtraConfig` by key. */
const settingsOf = (hardware: Element) =>
  new Map(
    [...within(hardware, 'Config'), ...within(hardware, 'ExtraConfig')].map((each) => [
      attribute(each, 'key') ?? '',
      attribute(each, 'value') ?? '',
    ]),
  )

/** Firmware: `vmw:Config` of VMware, `vbox:Firmware` of VirtualBox, or oVirt's `BiosType` (2 and 3: OVMF). */
function firmwareOf(system: Element, settings: ReadonlyMap<string, string>): Appliance['firmware'] {
  const ofVmware = settings.get('firmware')
  const ofVirtualBox = attribute(at(system, 'Machine', 'Hardware', 'Firmware'), 'type')
  const ofOvirt = textOf(system, 'BiosType')
  if (ofVmware !== undefined) return ofVmware === 'efi' ? 'uefi' : 'bios'
  if (ofVirtualBox !== undefined) return /^efi/i.test(ofVirtualBox) ? 'uefi' : 'bios'
  if (ofOvirt !== undefined) return Number(ofOvirt) >= 2 ? 'uefi' : 'bios'
  return null
}

function processorsOf(items: Item[]): Pick<Appliance, 'cpus' | 'cores_per_socket'> {
  const element = ofType(items, types.cpu)[0]?.element
  if (!element) return { cpus: 1, cores_per_socket: null }
  const [sockets, cores, threads = '1'] = ['num_of_sockets', 'cpu_per_socket', 'threads_per_cpu'].map((name) =>
    textOf(element, name),
  )
  if (sockets !== undefined && cores !== undefined) {
    const each = numberIn(cores, 'cpu_per_socket') * numberIn(threads, 'threads_per_cpu')
    return { cpus: Math.max(1, numberIn(sockets, 'num_of_sockets') * each), cores_per_socket: Math.max(1, each) }
  }
  const perSocket = textOf(element, 'CoresPerSocket')
  return {
    cpus: Math.max(1, numberIn(textOf(element, 'VirtualQuantity'), 'the number of CPUs')),
    cores_per_socket: perSocket === undefined ? null : Math.max(1, numberIn(perSocket, 'CoresPerSocket')),
  }
}

function memoryOf(items: Item[]): number | null {
  const element = ofType(items, types.memory)[0]?.element
  if (!element) return null
  const unit = textOf(element, 'AllocationUnits') ?? 'byte * 2^20'
  return bytesIn(textOf(element, 'VirtualQuantity'), unit, 'the memory')
}

/** An address in lower case with colons; VirtualBox writes it without. null for one that is none. */
function macOf(text: string | undefined): string | null {
  const digits = (text ?? '').replaceAll(/[:-]/g, '').toLowerCase()
  return /^[0-9a-f]{12}$/.test(digits) ? digits.match(/../g)!.join(':') : null
}

/** oVirt's numbers of models. */
const ovirtModels: Record<string, string> = { '1': 'rtl8139', '2': 'e1000', '3': 'virtio' }

function nicsOf(system: Element, items: Item[]): Appliance['nics'] {
  const adapters = childrenOf(at(system, 'Machine', 'Hardware', 'Network'), 'Adapter')
    .filter((adapter) => attribute(adapter, 'enabled') === 'true')
    .toSorted((a, b) => Number(attribute(a, 'slot')) - Number(attribute(b, 'slot')))
  return ofType(items, types.nic).map(({ element, subtype }, index) => ({
    network: short(textOf(element, 'Connection') ?? textOf(element, 'Name') ?? '') || null,
    model: short(ovirtModels[subtype] ?? subtype) || null,
    mac: macOf(textOf(element, 'MACAddress') ?? textOf(element, 'Address') ?? attribute(adapters[index], 'MACAddress')),
  }))
}

const short = (text: string) => (text.length > mostLetters ? `${text.slice(0, mostLetters)}…` : text)

/** Words for sections and settings that a VM here does not have. */
function unmappedIn(envelope: Element, system: Element, settings: ReadonlyMap<string, string>): string[] {
  const found = [...envelope.children, ...system.children]
    .map(kindOf)
    .filter((kind) => kind.endsWith('Section') && !readSections.has(kind) && !withoutEffect.has(kind))
  const keys = [...settings.keys()].filter((key) => key !== 'firmware')
  const tpm = attribute(at(system, 'Machine', 'Hardware', 'TrustedPlatformModule'), 'type')
  return [
    ...new Set(found),
    ...(keys.length > 0 ? [`settings of VMware: ${keys.join(', ')}`] : []),
    ...(tpm !== undefined && tpm !== 'None' ? [`TPM (${tpm})`] : []),
  ]
}

/** @throws Error for a descriptor that cannot be read as one virtual machine */
export function readOvf(text: string): Appliance {
  const envelope = parseDescriptor(text)
  const system = systemOf(envelope)
  const [hardware] = sections(system, 'VirtualHardwareSection')
  if (!hardware) throw new Error('its virtual system has no hardware')
  const items = itemsOf(hardware)
  const settings = settingsOf(hardware)
  const { disks, unmapped } = readDisks(envelope, items)
  const annotation = at(sections(system, 'AnnotationSection')[0], 'Annotation')?.text
  const told = [...unmapped, ...unmappedItems(items), ...unmappedIn(envelope, system, settings)].map(short)
  return {
    name: short(textOf(system, 'Name') ?? attribute(system, 'id') ?? '') || null,
    description: (annotation ?? textOf(system, 'Description') ?? '').slice(0, mostText),
    ...processorsOf(items),
    memory_bytes: memoryOf(items),
    firmware: firmwareOf(system, settings),
    disks,
    nics: nicsOf(system, items),
    unmapped: told.length > mostTold ? [...told.slice(0, mostTold), `and ${told.length - mostTold} more`] : told,
  }
}
