/** Places and addresses of disks and drives in a domain, those of others included. */
import type { Disk } from '#shared/contracts/vm/hardware.ts'
import { isoDrive, seedDrive, targetOf } from './parse-domain-xml.ts'
import { at, attribute, type Element, elements, put } from './xml.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz'

/** Each place that a disk of a bus can have: vda, vdb … for virtio, sda, sdb … for the others. */
export const placesOf = (bus: Disk['bus']) => [...letters].map((letter) => `${bus === 'virtio' ? 'vd' : 'sd'}${letter}`)

type Address = { controller: number; unit: number }
type DriveBus = 'sata' | 'scsi'
/** Disks that libvirt gives one controller by their names. */
const perController = { sata: 6, scsi: 15 }
/** The initiator's own unit on a SCSI bus. */
const initiator = 7

/** The address that libvirt derives from a name (virDomainDiskDefAssignAddress). */
export function addressOf(place: string, bus: DriveBus): Address {
  const index = letters.indexOf(place.at(-1) ?? '')
  const unit = index % perController[bus]
  const controller = Math.floor(index / perController[bus])
  return { controller, unit: bus === 'scsi' && unit >= initiator ? unit + 1 : unit }
}

/** The units of SCSI controllers with fewer than libvirt gives away; libvirt's usual model is lsilogic. */
const unitsOfModel: Record<string, number> = {
  auto: 7,
  lsilogic: 7,
  buslogic: 7,
  ncr53c90: 7,
  dc390: 7,
  am53c974: 7,
  lsisas1068: 7,
  vmpvscsi: 64,
}
const mostUnits = 256

const scsiControllersIn = (domain: Element) =>
  elements(at(domain, 'devices'), 'controller').filter((each) => attribute(each, 'type') === 'scsi')
const indexOf = (controller: Element) => Number(attribute(controller, 'index') ?? 0)

/** The number of units of a controller; one that is not there is made with as many as it takes. */
function unitsAt(domain: Element, bus: DriveBus, controller: number): number {
  if (bus === 'sata') return perController.sata
  const there = scsiControllersIn(domain).find((each) => indexOf(each) === controller)
  return there ? (unitsOfModel[attribute(there, 'model') ?? 'auto'] ?? mostUnits) : mostUnits
}

const busOf = (disk: Element) => attribute(at(disk, 'target'), 'bus')
const disksIn = (domain: Element) => elements(at(domain, 'devices'), 'disk')
const keyOf = ({ controller, unit }: Address) => `${controller}:${unit}`

/** The addresses of the disks and drives on a bus. */
function addressesIn(domain: Element, bus: DriveBus): Set<string> {
  const found = disksIn(domain).filter((disk) => busOf(disk) === bus)
  const keys = found.map((disk) => {
    const address = at(disk, 'address')
    if (!address) return keyOf(addressOf(targetOf(disk), bus))
    // Another target of a SCSI controller is another unit for our purpose: ours are on target 0.
    const isElsewhere = (attribute(address, 'target') ?? '0') !== '0'
    return isElsewhere ? '' : `${attribute(address, 'controller') ?? 0}:${attribute(address, 'unit') ?? 0}`
  })
  return new Set(keys)
}

/** The places of a domain that a further disk of a bus cannot have: taken, or with an address that is taken or not there. */
export function takenPlaces(domain: Element, bus: Disk['bus']): string[] {
  const taken = disksIn(domain).map(targetOf)
  if (bus !== 'sata' && bus !== 'scsi') return taken
  const addresses = addressesIn(domain, bus)
  const isUnusable = (place: string) => {
    const address = addressOf(place, bus)
    return addresses.has(keyOf(address)) || address.unit >= unitsAt(domain, bus, address.controller)
  }
  return [...taken, ...placesOf(bus).filter(isUnusable)]
}

/** A name for a drive beside other disks: the wanted one, else the last that is free. */
export const driveName = (wanted: string, taken: string[]): string =>
  [wanted, ...placesOf('scsi').toReversed()].find((name) => !taken.includes(name)) ?? wanted

const downFrom = (last: number) => Array.from({ length: last + 1 }, (_, index) => last - index)

/** A free address for a drive, from its usual unit down, on the first controller that has one. */
function freeAddress(domain: Element, bus: DriveBus, usual: number): Address {
  const taken = addressesIn(domain, bus)
  for (let controller = 0; ; controller++) {
    const last = Math.min(usual, unitsAt(domain, bus, controller) - 1)
    const unit = downFrom(last).find((each) => !taken.has(keyOf({ controller, unit: each })))
    if (unit !== undefined) return { controller, unit }
  }
}

/** Gives a drive that is added to a domain a name and an address that are free there, and the controller if need be. */
export function placeDrive(drive: Element, domain: Element): void {
  const [target, address] = [at(drive, 'target')!, at(drive, 'address')!]
  target.attributes['dev'] = driveName(targetOf(drive), disksIn(domain).map(targetOf))
  // Drives are on one of these.
  const bus = busOf(drive) as DriveBus
  const { controller, unit } = freeAddress(domain, bus, Number(attribute(address, 'unit')))
  const attributes = { ...address.attributes, controller: String(controller), unit: String(unit) }
  put(drive, { ...address, attributes })
  const isThere = scsiControllersIn(domain).some((each) => indexOf(each) === controller)
  if (bus !== 'scsi' || isThere) return
  const made = { type: 'scsi', index: String(controller), model: 'virtio-scsi' }
  at(domain, 'devices')!.children.push({ name: 'controller', attributes: made, children: [] })
}

/** The drives of a domain that is written anew, with names and addresses that none of its disks has. */
export function newDrives(disks: { id: string; bus: string }[]) {
  const ids = disks.map(({ id }) => id)
  const iso = driveName(isoDrive, ids)
  const ports = disks.filter(({ bus }) => bus === 'sata').map(({ id }) => keyOf(addressOf(id, 'sata')))
  const port = (controller: number): Address => {
    const unit = downFrom(perController.sata - 1).find((each) => !ports.includes(keyOf({ controller, unit: each })))
    return unit === undefined ? port(controller + 1) : { controller, unit }
  }
  return { iso, isoPort: port(0), seed: driveName(seedDrive, [...ids, iso]) }
}

/** The SCSI controllers that the disks of a guest need, by their places; one at least. */
export function scsiControllers(disks: { id: string; bus: string }[]): number[] {
  const used = disks.filter(({ bus }) => bus === 'scsi').map(({ id }) => addressOf(id, 'scsi').controller)
  return downFrom(Math.max(0, ...used)).toReversed()
}
