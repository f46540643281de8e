import { fieldsWithValue } from '#shared/contract/fields-with-value.ts'
/** Maps the descriptor of another hypervisor's virtual machine to a request for a VM. Pure. */
import type { Params } from '#shared/contract/contract.ts'
import type { Appliance } from '#shared/contracts/storage/appliances.ts'
import { diskBytes } from '#shared/contracts/storage/volumes.ts'
import type { ImportPlan, vmImports } from '#shared/contracts/vm/vm-imports.ts'
import type { vms } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'

/** Fields of a request for the VM, without its source. */
export type Given = Pick<
  Params<typeof vmImports, 'run'>,
  | 'pool'
  | 'storage'
  | 'format'
  | 'name'
  | 'cpus'
  | 'memory'
  | 'firmware'
  | 'bus'
  | 'networks'
  | 'nic_model'
  | 'keep_macs'
  | 'resource_pool'
  | 'start'
>
type NewVm = Params<typeof vms, 'create'>

/** The VM that an appliance becomes, with what is told about it. `disks`: in the order of the request. */
export type Mapped = { request: NewVm; violations: Violation[] } & Pick<
  ImportPlan,
  'name' | 'disks' | 'nics' | 'changed' | 'unmapped'
>

const MiB = 2 ** 20
const memoryStep = 128
const sector = 512
const usualNetwork = 'default'

/** Guests of other buses may lack the driver for any bus but this one, which all systems of two decades have. */
const safeBus = 'sata'
const safeBuses: Record<Appliance['disks'][number]['bus'], 'virtio' | 'scsi' | 'sata'> = {
  virtio: 'virtio',
  scsi: 'scsi',
  sata: 'sata',
  ide: safeBus,
  other: safeBus,
}

type Model = NonNullable<Given['nic_model']>

/** The model for one of another hypervisor: virtio stays; else one that the guest has a driver for. */
function modelOf(word: string | null): Model {
  const name = (word ?? '').toLowerCase()
  if (name.includes('virtio')) return 'virtio'
  if (/pcnet|am79|rtl8139|vlance/.test(name)) return 'rtl8139'
  return 'e1000e'
}

const nameAs = (name: string | null) =>
  (name ?? '')
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 255)

const roundUp = (count: number, step: number) => Math.ceil(count / step) * step

/** Whole steps of MiB that hold the memory of the descriptor. */
const memoryOf = (bytes: number) => roundUp(Math.max(bytes / MiB, memoryStep), memoryStep)

const sizeOf = (bytes: number) => Math.max(diskBytes.minimum, roundUp(bytes, sector))

function disksOf(
  { disks }: Appliance,
  { pool, storage = pool, bus: wanted }: Given,
  changed: string[],
): Mapped['disks'] {
  return disks.map(({ file, size_bytes, bus, controller }, index) => {
    const chosen = wanted ?? safeBuses[bus]
    if (chosen !== bus) changed.push(`disk ${index}: its controller ${controller} becomes ${chosen}`)
    const size = sizeOf(size_bytes)
    if (size !== size_bytes) changed.push(`disk ${index}: its ${size_bytes} bytes become ${size}`)
    return { file, size_bytes: size, controller, bus: chosen, pool: storage }
  })
}

/** A MAC address of one device: others, such as one of a group, are not kept. */
const isUnicast = (mac: string) => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0

function nicsOf({ nics }: Appliance, { networks, nic_model, keep_macs }: Given, changed: string[]): Mapped['nics'] {
  return nics.map(({ network: from, model: word, mac }, index) => {
    const place = networks.find((each) => each.from === from)
    const [network, bridge] = place ? [place.network ?? null, place.bridge ?? null] : [usualNetwork, null]
    const model = nic_model ?? modelOf(word)
    if (model !== word?.toLowerCase()) changed.push(`NIC ${index}: its model ${word ?? 'of no name'} becomes ${model}`)
    const kept = keep_macs && mac !== null && isUnicast(mac) ? mac : null
    if (mac !== null && kept === null) changed.push(`NIC ${index}: its address ${mac} becomes a new one`)
    return { from, network, bridge, from_model: word, model, mac: kept }
  })
}

/** Networks of the request that the descriptor does not name. */
const unknownNetworks = ({ networks }: Given, { nics }: Appliance): Violation[] =>
  networks.flatMap(({ from }, index) => {
    if (nics.some(({ network }) => network === from)) return []
    const names = nics.map(({ network }) => network ?? 'none').join(', ')
    return [
      {
        field: `networks.${index}.from`,
        code: 'not_found',
        message: `no NIC is in '${from}'; there are ${names || 'none'}`,
      },
    ]
  })

/** Sockets and cores, where the cores fit the number of CPUs. */
function topologyOf({ cpus, cores_per_socket: cores }: Appliance, given: Given) {
  if (given.cpus !== undefined || cores === null || cpus % cores !== 0) return {}
  return { topology: { sockets: cpus / cores, cores, threads: 1 } }
}

type Told = { violations: Violation[]; changed: string[] }

function nameFor({ name: described }: Appliance, given: Given, { violations, changed }: Told): string {
  if (given.name !== undefined) return given.name
  const name = nameAs(described)
  if (name === '') violations.push({ field: 'name', code: 'required', message: 'the descriptor has no name: give one' })
  else if (name !== described) changed.push(`its name '${described}' becomes '${name}'`)
  return name
}

/** MiB of memory. */
function memoryFor({ memory_bytes }: Appliance, given: Given, { violations, changed }: Told): number {
  if (given.memory !== undefined) return given.memory
  if (memory_bytes === null) {
    violations.push({ field: 'memory', code: 'required', message: 'the descriptor has none: give it' })
    return memoryStep
  }
  const memory = memoryOf(memory_bytes)
  if (memory * MiB !== memory_bytes) changed.push(`its memory of ${memory_bytes} bytes becomes ${memory} MiB`)
  return memory
}

/** @param id of the VM. @param node that has the uploads */
export function mapAppliance(appliance: Appliance, asked: Given, { id, node }: { id: string; node: string }): Mapped {
  const told = { violations: unknownNetworks(asked, appliance), changed: [] }
  const { changed } = told
  const name = nameFor(appliance, asked, told)
  const memory = memoryFor(appliance, asked, told)
  const disks = disksOf(appliance, asked, changed)
  const nics = nicsOf(appliance, asked, changed)
  const { start, resource_pool, format } = asked
  const request = {
    id,
    name,
    node,
    description: appliance.description,
    cpus: asked.cpus ?? appliance.cpus,
    ...topologyOf(appliance, asked),
    memory,
    start,
    ...fieldsWithValue({ firmware: asked.firmware ?? appliance.firmware, resource_pool }),
    disks: disks.map(({ size_bytes: size, bus, pool }) => ({ pool, size, bus, ...fieldsWithValue({ format }) })),
    nics: nics.map(({ network, bridge, model, mac }) => ({ model, ...fieldsWithValue({ network, bridge, mac }) })),
    // The contract of new VMs checks it, and adds its defaults.
  } as unknown as NewVm
  return { request, name, disks, nics, unmapped: appliance.unmapped, ...told }
}
