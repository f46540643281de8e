import type { Appliance } from '#shared/contracts/storage/appliances.ts'
import { childrenOf, type Element, textOf } from './xml.ts'

/** A line of the virtual hardware: a setting of CIM_ResourceAllocationSettingData. */
export type Item = { id: string; type: string; subtype: string; element: Element }

/** Resource types of CIM_ResourceAllocationSettingData. */
export const types = { cpu: '3', memory: '4', ide: '5', scsi: '6', nic: '10', disk: '17', storage: '20' } as const

/** Names of types that a VM here does not get from a descriptor. */
const others: Record<string, string> = {
  '1': 'other device',
  '14': 'floppy drive',
  '15': 'CD drive',
  '16': 'DVD drive',
  '21': 'serial port',
  '22': 'parallel port',
  '23': 'USB controller',
  '24': 'graphics card',
  '35': 'sound card',
}

const nameOf = ({ element }: Item) => textOf(element, 'ElementName') ?? textOf(element, 'Caption')

export const itemsOf = (hardware: Element): Item[] =>
  childrenOf(hardware, 'Item', 'StorageItem', 'EthernetPortItem').map((element) => ({
    id: textOf(element, 'InstanceID') ?? textOf(element, 'InstanceId') ?? '',
    type: textOf(element, 'ResourceType') ?? '',
    subtype: textOf(element, 'ResourceSubType') ?? '',
    element,
  }))

export const ofType = (items: Item[], ...wanted: string[]) => items.filter(({ type }) => wanted.includes(type))

const isController = ({ type }: Item) => [types.ide, types.scsi, types.storage].some((each) => each === type)

/** Words for the parts of the hardware that a VM here does not get. */
export function unmappedItems(items: Item[]): string[] {
  const known: string[] = Object.values(types)
  return items
    .filter(({ type }) => !known.includes(type))
    .map((item) => {
      const kind = others[item.type] ?? `device of type ${item.type || 'none'}`
      const name = nameOf(item)
      return name === undefined ? kind : `${kind} (${name})`
    })
}

type Bus = Appliance['disks'][number]['bus']

/** The bus of a controller. `other`: guests have drivers for a controller that no VM here has. */
export function busOf(controller: Item | undefined): { bus: Bus; controller: string } {
  if (controller === undefined) return { bus: 'other', controller: 'none' }
  const { type, subtype } = controller
  const word = subtype.toLowerCase()
  if (/virtio/.test(word)) return { bus: 'scsi', controller: subtype }
  if (type === types.ide) return { bus: 'ide', controller: subtype || 'IDE' }
  if (/ahci/.test(word)) return { bus: 'sata', controller: subtype }
  return { bus: 'other', controller: subtype || (type === types.scsi ? 'SCSI' : 'storage controller') }
}

/** The bus by oVirt's word for it, an attribute of the disk; its numbers are those of oVirt before 3. */
export function busOfInterface(word: string): { bus: Bus; controller: string } {
  const buses: Record<string, Bus> = {
    virtio: 'virtio',
    '2': 'virtio',
    virtio_scsi: 'scsi',
    ide: 'ide',
    '0': 'ide',
    sata: 'sata',
  }
  return { bus: buses[word.toLowerCase()] ?? 'other', controller: word }
}

const order = (text: string | undefined) => (text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : 0)

/** The items of disks in the order in which their controllers have them. */
export function disksInOrder(items: Item[]): { item: Item; parent: Item | undefined }[] {
  const controllers = items.filter(isController)
  const placed = ofType(items, types.disk).map((item) => {
    const parent = textOf(item.element, 'Parent')
    const index = controllers.findIndex(({ id }) => id === parent)
    const address = order(textOf(item.element, 'AddressOnParent'))
    return { item, parent: controllers[index], index: index === -1 ? controllers.length : index, address }
  })
  return placed.toSorted((a, b) => a.index - b.index || a.address - b.address)
}
