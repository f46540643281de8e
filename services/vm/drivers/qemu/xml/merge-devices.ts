import { isSameSource } from '#shared/contracts/storage/disk-source.ts'
import { sourceOf } from './disk-source.ts'
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
  targetOf,
} from './parse-domain-xml.ts'
import { at, attribute, childOf, type Element, elements, remove, takeAttributes, takeChild } from './xml.ts'

/** Copies one part that Horcrux owns from the wanted domain into the existing one. */
export type Merge = (there: Element, wanted: Element) => void

/** True when a device of the domain is the same as a wanted one. */
function isMate(device: Element, wanted: Element, domain: Element): boolean {
  if (device.name !== wanted.name) return false
  if (device.name === 'interface') return macOf(device) === macOf(wanted)
  if (device.name !== 'disk') return false
  if (targetOf(device) === targetOf(wanted)) return true
  // A domain that was not made by us has another name for the drive of the ISO.
  return isCdrom(wanted) && targetOf(wanted) === isoDrive && cdromIn(domain) === device
}

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
  const { disks, nics } = markOf(domain)
  if (device.name === 'interface') return nics.includes(macOf(device))
  return disks.includes(cdromIn(domain) === device ? isoDrive : targetOf(device))
}

export const mateOf = (device: Element, wanted: Element, domain: Element) =>
  elements(at(wanted, 'devices'), device.name).find((other) => isMate(device, other, domain))

/** Removes devices that are ours and not wanted any more; drives stay, empty. */
export const unwanted: Merge = (there, wanted) => {
  const from = childOf(there, 'devices')
  const isUnwanted = (device: Element) => isOurs(device, there) && !mateOf(device, wanted, there)
  const gone = [...elements(from, 'disk'), ...elements(from, 'interface')].filter(isUnwanted)
  for (const drive of gone.filter(isCdrom)) remove(drive, 'source')
  from.children = from.children.filter((child) => !gone.some((device) => device === child && !isCdrom(device)))
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
    const missing = elements(at(wanted, 'devices'), kind).filter((each) => !known.has(each) && !isEmptyDrive(each))
    into.children.push(...missing)
  }

export const controllers: Merge = (there, wanted) => {
  const type = (controller: Element) => attribute(controller, 'type')
  const into = childOf(there, 'devices')
  // PCI buses are made with the domain; libvirt adds others as needed.
  const has = new Set(['pci', ...elements(into, 'controller').map(type)])
  into.children.push(...elements(at(wanted, 'devices'), 'controller').filter((each) => !has.has(type(each))))
}
