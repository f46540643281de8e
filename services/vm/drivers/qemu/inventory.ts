import { isSameSource, nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { DiskRecord } from '../../model.ts'
import type { ForeignDisk, Inventory } from '../parts.ts'
import { inactiveXml } from './definition.ts'
import { shelvedXml } from './files.ts'
import { unlessMissing } from './state.ts'
import { sourceOf } from './xml/disk-source.ts'
import { takenPlaces } from './xml/drive-places.ts'
import { cdromIn, isCdrom, seedIn, targetOf } from './xml/parse-domain-xml.ts'
import { at, attribute, type Element, elements, parseXml } from './xml/xml.ts'

const disksIn = (domain: Element) => elements(at(domain, 'devices'), 'disk')

/** A source in a message, also one that a record cannot describe. */
function describe(disk: Element): string {
  const known = sourceOf(disk)
  if (known) return nameOfSource(known)
  const source = at(disk, 'source')
  const [pool, volume, protocol, name] = ['pool', 'volume', 'protocol', 'name'].map((key) => attribute(source, key))
  if (volume !== undefined) return `${pool}/${volume}`
  if (protocol !== undefined) return name === undefined ? protocol : `${protocol}:${name}`
  return Object.values({ ...source?.attributes }).join(' ')
}

const foreignOf = (disk: Element): ForeignDisk => ({
  id: targetOf(disk),
  device: attribute(disk, 'device') ?? 'disk',
  type: attribute(disk, 'type') ?? 'file',
  source: describe(disk),
})

/** True for a disk of the record, by its source, and for a medium in our drives that a record describes. */
function isRecorded(disk: Element, domain: Element, disks: Pick<DiskRecord, 'source'>[]): boolean {
  const source = sourceOf(disk)
  if (isCdrom(disk)) return disk === seedIn(domain) || (source !== null && disk === cdromIn(domain))
  return source !== null && disks.some((each) => isSameSource(each.source, source))
}

/** The disks and media of a domain that a record does not have. Empty drives are left out. */
export const foreignIn = (domain: Element, disks: Pick<DiskRecord, 'source'>[]): ForeignDisk[] =>
  disksIn(domain)
    .filter((disk) => at(disk, 'source') !== undefined && !isRecorded(disk, domain, disks))
    .map(foreignOf)

/** The places of recorded disks that a running domain has not, and nothing in their place; none of one that is off. */
export function lostIn(domain: Element, disks: Pick<DiskRecord, 'id' | 'source'>[]): string[] {
  if (attribute(domain, 'id') === undefined) return []
  const there = disksIn(domain)
  const isThere = ({ id, source }: Pick<DiskRecord, 'id' | 'source'>) =>
    there.some((disk) => {
      const own = sourceOf(disk)
      return targetOf(disk) === id || (own !== null && isSameSource(own, source))
    })
  return disks.filter((disk) => !isThere(disk)).map(({ id }) => id)
}

/** The definitions of a guest: for its next start, and as it runs; the shelved one of a template. */
async function definitionsOf({ id, node, handle }: Parameters<Inventory['read']>[0]): Promise<Element[]> {
  const reached = await reach(node)
  const libvirt = libvirtOf(reached)
  const read = () => Promise.all([inactiveXml(libvirt, handle), domainXml(libvirt, handle)])
  const found = (await unlessMissing<(string | null)[]>(read, [])) ?? []
  const all = found.length > 0 ? found : [await shelvedXml(reached, id)]
  return all.filter((xml) => xml !== null).map(parseXml)
}

export const inventory: Inventory = {
  read: async (vm) => {
    const domains = await definitionsOf(vm)
    const foreign = domains.flatMap((domain) => foreignIn(domain, vm.disks))
    const unique = new Map(foreign.map((disk) => [`${disk.id} ${disk.source}`, disk]))
    return {
      foreign: [...unique.values()],
      lost: domains.flatMap((domain) => lostIn(domain, vm.disks)),
      takenPlaces: (bus) => domains.flatMap((domain) => takenPlaces(domain, bus)),
    }
  },
}
