import { isSameSource } from '#shared/contracts/storage/disk-source.ts'
import { domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import { switchDisks as switchNow } from '#shared/nodes/libvirt/client/snapshot.ts'
import type { DiskImage, Snapshots } from '../../parts.ts'
import { libvirtAt } from '../libvirt.ts'
import { unlessMissing } from '../state.ts'
import { sourceElement, sourceOf } from '../xml/disk-source.ts'
import { targetOf } from '../xml/parse-domain-xml.ts'
import { at, type Element, elements, parseXml, writeXml } from '../xml/xml.ts'

const element = (name: string, attributes: Record<string, string>, ...children: Element[]): Element => ({
  name,
  attributes,
  children,
})

/** The places of all disks and drives in a domain. */
export const targetsIn = (domain: Element): string[] => elements(at(domain, 'devices'), 'disk').map(targetOf)

/**
 * The XML of a snapshot of disks ("Snapshot XML format"). Disks that are left out would get files of libvirt's own, so
 * every other one is named.
 */
export const diskSnapshotOf = (images: DiskImage[], targets: string[]): string => {
  const taken = images.map(({ disk, source, format }) =>
    element(
      'disk',
      { name: disk, snapshot: 'external', type: source.type },
      element('driver', { type: format }),
      sourceElement(source),
    ),
  )
  const others = targets.filter((target) => !images.some(({ disk }) => disk === target))
  const left = others.map((name) => element('disk', { name, snapshot: 'no' }))
  return writeXml(element('domainsnapshot', {}, element('disks', {}, ...taken, ...left)))
}

/** The images that a domain does not have as its disks yet. */
const notYet = (domain: Element, images: DiskImage[]): DiskImage[] =>
  images.filter(({ disk, source }) => {
    const there = elements(at(domain, 'devices'), 'disk').find((each) => targetOf(each) === disk)
    const present = there && sourceOf(there)
    return !present || !isSameSource(present, source)
  })

export const switchDisks: Snapshots['switchDisks'] = async ({ node, handle: uuid }, images) => {
  const libvirt = await libvirtAt(node)
  const domain = parseXml(await domainXml(libvirt, uuid))
  const missing = notYet(domain, images)
  if (missing.length > 0) await switchNow(libvirt, uuid, diskSnapshotOf(missing, targetsIn(domain)))
}

export const isSwitched: Snapshots['isSwitched'] = async ({ node, handle: uuid }, images) => {
  const libvirt = await libvirtAt(node)
  const xml = await unlessMissing(() => domainXml(libvirt, uuid), null)
  return xml !== null && notYet(parseXml(xml), images).length < images.length
}
