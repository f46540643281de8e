import {
  cacheOf,
  cdromIn,
  formatOf,
  isCdrom,
  isoDrive,
  macOf,
  markOf,
  modelOf,
  pathOf,
  targetOf,
} from './parse-domain-xml.ts'
import { at, attribute, childOf, type Element, elements, remove, takeAttributes, takeChild } from './xml.ts'

/** Brings one thing that Horcrux owns from the wanted domain into the one that is there. */
export type Merge = (there: Element, wanted: Element) => void

/** Whether a device of the domain is the same as a wanted one. */
function isMate(device: Element, wanted: Element, domain: Element): boolean {
  if (device.name !== wanted.name) return false
  if (device.name === 'interface') return macOf(device) === macOf(wanted)
  if (device.name !== 'disk') return false
  if (targetOf(device) === targetOf(wanted)) return true
  // Whatever the drive of a domain is called that was not made by us, the ISO goes into it.
  return isCdrom(wanted) && targetOf(wanted) === isoDrive && cdromIn(domain) === device
}

export function takeDisk(disk: Element, wanted: Element): void {
  if (pathOf(disk) !== pathOf(wanted)) {
    takeAttributes(disk, wanted, 'type')
    takeChild(disk, wanted, 'source')
    remove(disk, 'backingStore', 'mirror')
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

/** Whether a device is in our mark. */
export function isOurs(device: Element, domain: Element): boolean {
  const { disks, nics } = markOf(domain)
  if (device.name === 'interface') return nics.includes(macOf(device))
  return disks.includes(cdromIn(domain) === device ? isoDrive : targetOf(device))
}

export const mateOf = (device: Element, wanted: Element, domain: Element) =>
  elements(at(wanted, 'devices'), device.name).find((other) => isMate(device, other, domain))

/** Takes away what was ours and is not wanted any more; a drive stays, empty. */
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
    // A domain that is there needs no drive as long as nothing is to be in it.
    const isEmptyDrive = (device: Element) => isCdrom(device) && pathOf(device) === null
    const missing = elements(at(wanted, 'devices'), kind).filter((each) => !known.has(each) && !isEmptyDrive(each))
    into.children.push(...missing)
  }

export const controllers: Merge = (there, wanted) => {
  const type = (controller: Element) => attribute(controller, 'type')
  const into = childOf(there, 'devices')
  // PCI buses are made with the domain; to one that is there libvirt itself adds those that it needs.
  const has = new Set(['pci', ...elements(into, 'controller').map(type)])
  into.children.push(...elements(at(wanted, 'devices'), 'controller').filter((each) => !has.has(type(each))))
}
