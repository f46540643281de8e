import type { Appliance } from '#shared/contracts/storage/appliances.ts'
import { busOf, busOfInterface, disksInOrder, type Item } from './items.ts'
import { bytesIn, numberIn } from './units.ts'
import { attribute, childrenOf, type Element, sections, textOf } from './xml.ts'

type Disk = Appliance['disks'][number]

/** The name of a file; virt-v2v writes the folder of its storage domain before it. */
const fileNameOf = (href: string) => href.slice(href.lastIndexOf('/') + 1)

/** The files that a descriptor names, by id. @throws Error for one that is in parts, compressed or elsewhere */
function filesOf(envelope: Element): Map<string, string> {
  const files = childrenOf(childrenOf(envelope, 'References')[0], 'File').map((file): [string, string] => {
    const [id = '', href = ''] = [attribute(file, 'id'), attribute(file, 'href')]
    if (/^[a-z][a-z0-9+.-]*:/i.test(href)) throw new Error(`its file '${href.slice(0, 200)}' is elsewhere`)
    const compression = attribute(file, 'compression')
    if (compression && compression !== 'identity')
      throw new Error(`its file '${href}' is compressed (${compression}): unpack it and correct the descriptor`)
    if (attribute(file, 'chunkSize') !== undefined) throw new Error(`its file '${href}' is in several parts: join them`)
    return [id, fileNameOf(href)]
  })
  return new Map(files)
}

/** Bytes of a disk. oVirt has whole GiB in `size` where `capacity` is missing. */
function sizeOf(disk: Element, id: string): number {
  const capacity = attribute(disk, 'capacity')
  if (capacity !== undefined)
    return bytesIn(capacity, attribute(disk, 'capacityAllocationUnits') || 'byte', `the capacity of disk '${id}'`)
  return numberIn(attribute(disk, 'size'), `the size of disk '${id}'`) * 2 ** 30
}

/** The disk that an item names: `ovf:/disk/ID`, or with oVirt the id of its image. */
function findDisk(disks: Element[], { id, element }: Item): Element | undefined {
  const resource = (textOf(element, 'HostResource') ?? '').replace(/^(ovf:)?\/disk\//, '')
  const wanted = [resource, fileNameOf(resource), id].filter((each) => each !== '')
  return disks.find((disk) => wanted.includes(attribute(disk, 'diskId') ?? '\0'))
}

/** Reads the disks of a virtual system. @returns them with words for those that no controller has */
export function readDisks(envelope: Element, items: Item[]): { disks: Disk[]; unmapped: string[] } {
  const files = filesOf(envelope)
  const known = sections(envelope, 'DiskSection').flatMap((section) => childrenOf(section, 'Disk'))
  const used = new Set<Element>()
  const disks = disksInOrder(items).map(({ item, parent }) => {
    const disk = findDisk(known, item)
    const id = (disk && attribute(disk, 'diskId')) ?? textOf(item.element, 'HostResource') ?? item.id
    if (!disk) throw new Error(`it has no disk '${id.slice(0, 200)}', which its hardware names`)
    if (used.has(disk)) throw new Error(`two drives have the disk '${id}'`)
    used.add(disk)
    if (attribute(disk, 'parentRef')) throw new Error(`its disk '${id}' is a difference to another disk`)
    const reference = attribute(disk, 'fileRef')
    const file = reference ? (files.get(reference) ?? files.get(fileNameOf(reference))) : null
    if (file === undefined || file === '') throw new Error(`its disk '${id}' is in no file that it references`)
    const word = attribute(disk, 'disk-interface')
    const place = word ? busOfInterface(word) : busOf(parent)
    return { isFirst: attribute(disk, 'boot')?.toLowerCase() === 'true', file, size_bytes: sizeOf(disk, id), ...place }
  })
  const left = known
    .filter((disk) => !used.has(disk))
    .map((disk) => `disk '${attribute(disk, 'diskId')}', which no drive has`)
  const sorted = disks.toSorted((a, b) => Number(b.isFirst) - Number(a.isFirst))
  return { disks: sorted.map(({ isFirst: _, ...disk }) => disk), unmapped: left }
}
