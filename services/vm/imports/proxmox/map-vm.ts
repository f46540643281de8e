/** Maps a virtual machine of Proxmox VE to a request for a VM here. Pure. */
import { fieldsWithValue } from '#shared/contract/fields-with-value.ts'
import { isValid } from '#shared/contract/validate.ts'
import type { Appliance } from '#shared/contracts/storage/appliances.ts'
import { Tags } from '#shared/contracts/vm/clones.ts'
import type { Violation } from '#shared/errors.ts'
import { type Given as Wanted, type Mapped, mapAppliance } from '../map-appliance.ts'
import { bootKeysOf, type Drive, type Drives, pairsOf } from './map-drives.ts'
import { type Config, tagsOf, type TheirVm } from './read.ts'

type Given = Wanted & { cpu_model?: string }
/** `sizes`: of the disks that were found, in bytes. `placesOf`: the places of disks on these buses. */
type Beside = {
  id: string
  node: string
  sizes: (number | undefined)[]
  placesOf: (buses: Mapped['request']['disks'][number]['bus'][]) => (string | null)[]
}

const MiB = 2 ** 20

/** Keys that are mapped, or that say nothing of the guest's hardware. */
const known: ReadonlySet<string> = new Set(
  (
    'acpi agent arch bios boot bootdisk cores cpu description digest hotplug kvm lock machine memory meta name numa onboot ostype ' +
    'parent protection scsihw snaptime sockets tablet tags template vcpus vga vmgenid'
  ).split(' '),
)
const isDevice = (key: string) => /^(net|virtio|scsi|sata|ide)\d+$/.test(key)

const lineOf = (key: string, value: string) => {
  const line = `${key}: ${value.replaceAll(/\s+/g, ' ')}`
  return line.length > 200 ? `${line.slice(0, 199)}…` : line
}

/** Explanations of keys whose loss matters more than their value tells. */
const notes: Record<string, string> = {
  efidisk0: 'the UEFI variables, such as boot entries and enrolled keys, begin empty',
  tpmstate0: 'the TPM and its keys stay there: have the recovery keys of encrypted disks at hand',
  balloon: 'the least memory under pressure',
  smbios1: 'the VM has a UUID of its own',
}

const unmappedOf = (config: Config) =>
  [...config].flatMap(([key, value]) => {
    if (known.has(key) || isDevice(key) || (key === 'balloon' && value === '0')) return []
    const note = notes[key]
    return lineOf(key, value) + (note === undefined ? '' : ` (${note})`)
  })

const intOf = (config: Config, key: string, ifNone: number) => {
  const value = Number(config.get(key) ?? ifNone)
  return Number.isInteger(value) && value > 0 ? value : ifNone
}

function nicsOf(config: Config): Appliance['nics'] {
  const keys = [...config.keys()].filter((key) => /^net\d+$/.test(key))
  return keys
    .toSorted((a, b) => Number(a.slice(3)) - Number(b.slice(3)))
    .map((key) => {
      const pairs = pairsOf(config.get(key)!, 'model')
      // `virtio=MAC`: the model is the name of the first pair.
      const [[first, value]] = [...pairs] as [[string, string]]
      const model = pairs.get('model') ?? first
      const mac = pairs.get('macaddr') ?? (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(value) ? value : undefined)
      return { network: pairs.get('bridge') ?? null, model, mac: mac?.toLowerCase() ?? null }
    })
}

const nicOptions = new Set(['model', 'macaddr', 'bridge'])
function nicNotes(config: Config): string[] {
  return [...config].flatMap(([key, value]) => {
    if (!/^net\d+$/.test(key)) return []
    const others = [...pairsOf(value, 'model')].filter(([name, its]) => !nicOptions.has(name) && !its.includes(':'))
    return others.length === 0 ? [] : `${key}: ${others.map((pair) => pair.join('=')).join(', ')}`
  })
}

/** CPU types that are models of their own there, without one of the same name elsewhere. */
const theirModels = /^(kvm32|kvm64|qemu32|qemu64|x86-64-v\S+|custom-\S+)$/

function cpuModelOf(config: Config, given: Given, changed: string[]): string | null {
  if (given.cpu_model !== undefined) return given.cpu_model
  const pairs = pairsOf(config.get('cpu') ?? 'kvm64', 'cputype')
  const type = pairs.get('cputype') ?? 'kvm64'
  const flags = pairs.get('flags')
  if (flags !== undefined) changed.push(`the flags ${flags} of its CPU are left out`)
  if (type === 'host') return 'host-passthrough'
  if (type === 'max') return 'maximum'
  if (!theirModels.test(type)) return type
  changed.push(`its CPU type ${type} becomes the usual one of the node`)
  return null
}

function processorsOf(config: Config, given: Given) {
  if (given.cpus !== undefined) return {}
  const total = intOf(config, 'sockets', 1) * intOf(config, 'cores', 1)
  const online = Math.min(total, intOf(config, 'vcpus', total))
  return online < total ? { cpus: online, max_cpus: total } : {}
}

function displayOf(config: Config, changed: string[]) {
  const type = pairsOf(config.get('vga') ?? 'std', 'type').get('type') ?? 'std'
  if (/^(none|serial\d)$/.test(type)) return { graphics: [], video: 'none' }
  if (type.startsWith('qxl')) return { graphics: ['spice'], video: 'qxl' }
  if (type !== 'std' && !type.startsWith('virtio')) changed.push(`its display ${type} becomes the usual one`)
  return {}
}

/** Disks and network in the order in which they are booted from; undefined for the usual order. */
function bootOrderOf(config: Config, drives: Drive[], places: (string | null)[]): string[] | undefined {
  const named = bootKeysOf(config).flatMap((key) => {
    if (/^net\d+$/.test(key)) return config.has(key) ? 'network' : []
    return places[drives.findIndex((drive) => drive.key === key)] ?? []
  })
  const order = [...new Set(named)]
  return order.length > 0 ? order : undefined
}

/** The reasons of their state that forbid a copy. */
function stateViolations({ status, lock, vmid }: TheirVm): Violation[] {
  const say = (code: string, message: string) => ({ field: 'vmid', code, message })
  return [
    ...(status === 'stopped' ? [] : [say('running', `virtual machine ${vmid} is ${status}: shut it down first`)]),
    ...(lock === null ? [] : [say('locked', `virtual machine ${vmid} is locked there: ${lock}`)]),
  ]
}

export function mapVm(theirs: TheirVm, { drives, ...told }: Drives, asked: Given, beside: Beside): Mapped {
  const { config } = theirs
  const memory = Number(pairsOf(config.get('memory') ?? '512', 'current').get('current') ?? 512)
  const appliance: Appliance = {
    name: config.get('name') ?? null,
    description: (config.get('description') ?? '').trim(),
    cpus: intOf(config, 'sockets', 1) * intOf(config, 'cores', 1),
    cores_per_socket: intOf(config, 'cores', 1),
    memory_bytes: memory * MiB,
    firmware: config.get('bios') === 'ovmf' ? 'uefi' : 'bios',
    disks: drives.map(({ volume, bus, controller, size_bytes }, index) => ({
      file: volume,
      size_bytes: beside.sizes[index] ?? size_bytes,
      bus,
      controller,
    })),
    nics: nicsOf(config),
    unmapped: [
      ...theirs.snapshots.map((name) => `snapshot '${name}': only the present state is copied`),
      ...told.unmapped,
      ...nicNotes(config),
      ...unmappedOf(config),
    ],
  }
  const mapped = mapAppliance(appliance, asked, beside)
  const { changed } = mapped
  const machine = pairsOf(config.get('machine') ?? 'pc', 'type').get('type') ?? 'pc'
  if ((config.get('arch') ?? 'x86_64') === 'x86_64' && !/q35|^virt/.test(machine))
    changed.push(`its machine type ${machine} (i440fx) becomes q35`)
  // Both would start with their nodes, with the same addresses.
  if (config.get('onboot') === '1') changed.push('it does not start with its node: say so once the one there is gone')
  if (theirs.isTemplate) changed.push('it is a template there, and becomes a VM')
  const tags = [...new Set(tagsOf(config.get('tags')))]
  const kept = tags.filter((tag) => isValid(Tags.items, tag))
  for (const tag of tags) if (!kept.includes(tag)) changed.push(`its tag '${tag}' is left out`)
  const boot_order = bootOrderOf(config, drives, beside.placesOf(mapped.request.disks.map(({ bus }) => bus)))
  const request = {
    ...mapped.request,
    ...fieldsWithValue({ cpu_model: cpuModelOf(config, asked, changed), architecture: config.get('arch'), boot_order }),
    ...processorsOf(config, asked),
    ...displayOf(config, changed),
    tags: kept,
    protected: config.get('protection') === '1',
    disks: mapped.request.disks.map((disk, index) => ({
      ...disk,
      ...fieldsWithValue({ cache: drives[index]?.cache }),
    })),
    // The contract of new VMs checks it, and adds its defaults.
  } as typeof mapped.request
  return { ...mapped, request, violations: [...mapped.violations, ...told.violations, ...stateViolations(theirs)] }
}
