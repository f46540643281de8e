import { isSameSource } from '#shared/contracts/storage/disk-source.ts'
import { markOfSource, sourceOf } from './disk-source.ts'
import {
  cacheOf,
  cdromIn,
  formatOf,
  isCdrom,
  isoDrive,
  macOf,
  markOf,
  modelOf,
  mediumOf,
  seedIn,
  targetOf,
} from './parse-domain-xml.ts'
import { driveName, placeDrive } from './drive-places.ts'
import { at, attribute, childOf, type Element, elements, remove, takeAttributes, takeChild } from './xml.ts'

/** Copies one part that Horcrux owns from the wanted domain into the existing one. */
export type Merge = (there: Element, wanted: Element) => void

function hasSameSource(disk: Element, other: Element): boolean {
  const [one, two] = [sourceOf(disk), sourceOf(other)]
  return one && two ? isSameSource(one, two) : one === two
}

/** Copies source, format, cache and write protection of a disk. */
export function takeDisk(disk: Element, wanted: Element): void {
  if (!hasSameSource(disk, wanted)) {
    takeAttributes(disk, wanted, 'type')
    takeChild(disk, wanted, 'source')
    remove(disk, 'auth', 'backingStore', 'mirror')
  }
  if (formatOf(disk) !== formatOf(wanted)) takeAttributes(childOf(disk, 'driver'), at(wanted, 'driver'), 'type')
  if (isCdrom(wanted)) return
  if (cacheOf(disk) !== cacheOf(wanted)) takeAttributes(childOf(disk, 'driver'), at(wanted, 'driver'), 'cache', 'io')
  takeChild(disk, wanted, 'readonly')
}

export function takeNic(nic: Element, wanted: Element): void {
  const source = (of: Element) => attribute(at(of, 'source'), 'network') ?? attribute(at(of, 'source'), 'bridge')
  if (attribute(nic, 'type') !== attribute(wanted, 'type') || source(nic) !== source(wanted)) {
    takeAttributes(nic, wanted, 'type')
    takeChild(nic, wanted, 'source')
  }
  if (modelOf(nic) !== modelOf(wanted)) takeChild(nic, wanted, 'model')
}

/** True when our mark names a device. */
export function isOurs(device: Element, domain: Element): boolean {
  const { disks, nics, sources } = markOf(domain)
  if (device.name === 'interface') return nics.includes(macOf(device))
  if (isCdrom(device)) return cdromIn(domain) === device ? disks.includes(isoDrive) : seedIn(domain) === device
  const [place, source] = [targetOf(device), sourceOf(device)]
  if (source === null || !disks.includes(place)) return false
  // Others may have put another disk in the place of ours, such as an overlay of a snapshot.
  return sources === null || sources.get(place) === markOfSource(source)
}

const disksIn = (domain: Element) => elements(at(domain, 'devices'), 'disk')

/** The wanted disk that a disk is: by its source; by its place only when our mark names both. */
function diskMateOf(disk: Element, wanted: Element, domain: Element): Element | undefined {
  if (isCdrom(disk)) {
    if (cdromIn(domain) === disk) return cdromIn(wanted)
    return seedIn(domain) === disk ? seedIn(wanted) : undefined
  }
  if (sourceOf(disk) === null) return undefined
  const isHere = (other: Element) => targetOf(other) === targetOf(disk)
  const candidates = disksIn(wanted).filter((other) => !isCdrom(other))
  const same = candidates.filter((other) => hasSameSource(disk, other))
  const found = same.find(isHere) ?? same[0]
  if (found) return found
  const isReplaced = isOurs(disk, domain) && markOf(domain).sources !== null
  return isReplaced ? candidates.find((other) => isHere(other) && !isThere(other, domain)) : undefined
}

/** True when a domain has a disk with the source of a wanted one. */
const isThere = (wanted: Element, domain: Element) => disksIn(domain).some((disk) => hasSameSource(disk, wanted))

export const mateOf = (device: Element, wanted: Element, domain: Element) => {
  if (device.name === 'disk') return diskMateOf(device, wanted, domain)
  if (device.name !== 'interface') return undefined
  return elements(at(wanted, 'devices'), 'interface').find((other) => macOf(device) === macOf(other))
}

/** Removes devices that are ours and not wanted any more; drives stay, empty. */
export const unwanted: Merge = (there, wanted) => {
  const from = childOf(there, 'devices')
  const { sources } = markOf(there)
  const places = new Set(disksIn(wanted).map(targetOf))
  // A mark of an earlier version does not tell a disk of ours from one that others have put in its place.
  const isUnsure = (device: Element) => device.name === 'disk' && sources === null && places.has(targetOf(device))
  const isUnwanted = (device: Element) => isOurs(device, there) && !mateOf(device, wanted, there) && !isUnsure(device)
  const gone = [...elements(from, 'disk'), ...elements(from, 'interface')].filter(isUnwanted)
  for (const drive of gone.filter(isCdrom)) remove(drive, 'source')
  from.children = from.children.filter((child) => !gone.some((device) => device === child && !isCdrom(device)))
}

/** Gives the wanted seed drive, in its element and in our mark, the name that it has in the domain or can have there. */
export const alignSeed: Merge = (there, wanted) => {
  const drive = seedIn(wanted)
  const mark = at(wanted, 'metadata', 'horcrux:vm')
  if (!mark) return
  const [known, usual] = [seedIn(there), markOf(wanted).seed]
  const taken = [...disksIn(there), ...disksIn(wanted)].filter((disk) => disk !== drive).map(targetOf)
  const name = known ? targetOf(known) : driveName(usual, taken)
  if (drive) at(drive, 'target')!.attributes['dev'] = name
  mark.attributes['seed'] = name
  if (drive)
    mark.attributes['disks'] = markOf(wanted)
      .disks.map((disk) => (disk === usual ? name : disk))
      .join(' ')
}

export const devices =
  (kind: 'disk' | 'interface', take: Merge): Merge =>
  (there, wanted) => {
    const into = childOf(there, 'devices')
    const found = elements(into, kind).map((device) => ({ device, mate: mateOf(device, wanted, there) }))
    for (const { device, mate } of found) if (mate) take(device, mate)
    const known = new Set(found.map(({ mate }) => mate))
    // An existing domain needs no drive while it has no medium.
    const isEmptyDrive = (device: Element) => isCdrom(device) && mediumOf(device) === null
    const places = new Set(kind === 'disk' ? disksIn(there).map(targetOf) : [])
    // A place that holds the disk of another stays as it is.
    const isTaken = (device: Element) => places.has(targetOf(device)) && !isCdrom(device)
    const missing = elements(at(wanted, 'devices'), kind).filter(
      (each) => !known.has(each) && !isEmptyDrive(each) && !isTaken(each),
    )
    into.children.push(...missing.filter((device) => !isCdrom(device)))
    // The seed's drive, which comes last, has its name already.
    for (const drive of missing.filter(isCdrom).toReversed()) {
      placeDrive(drive, there)
      into.children.push(drive)
    }
  }

export const controllers: Merge = (there, wanted) => {
  const name = (controller: Element) =>
    `${attribute(controller, 'type')} ${attribute(controller, 'type') === 'scsi' ? (attribute(controller, 'index') ?? '0') : ''}`
  const into = childOf(there, 'devices')
  // PCI buses are made with the domain; libvirt adds others as needed.
  const has = new Set(['pci ', ...elements(into, 'controller').map(name)])
  into.children.push(...elements(at(wanted, 'devices'), 'controller').filter((each) => !has.has(name(each))))
}
