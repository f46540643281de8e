import { isDeepStrictEqual } from 'node:util'
import { isOurs, mateOf, type Merge } from './merge-devices.ts'
import { bootOrderOf, isCdrom, isoOf, namesOf } from './parse-domain-xml.ts'
import { at, attribute, childOf, type Element, elements, put, remove } from './xml.ts'

const hasIso = (domain: Element) => isoOf(domain) !== null
const osBoot = (domain: Element) => elements(at(domain, 'os'), 'boot').map((boot) => attribute(boot, 'dev'))
const devicesOf = (domain: Element) => elements(at(domain, 'devices'))

/** True when the order in `<os>` is to be rewritten: only one that we would write, for another ISO. */
function isOsOrderOurs(there: Element, wanted: Element): boolean {
  const others = devicesOf(there).filter((device) => !isOurs(device, there) || mateOf(device, wanted, there))
  if (osBoot(wanted).length === 0 || others.some((device) => at(device, 'boot'))) return false
  const [was, next] = [osBoot(there).join(' '), osBoot(wanted).join(' ')]
  return was === '' || (was !== next && ['hd', 'cdrom hd'].includes(was) && hasIso(there) !== hasIso(wanted))
}

/** The existing order of the devices that Horcrux knows. */
function knownOrder(there: Element, wanted: Element): string[] | null {
  const known = new Set(namesOf(wanted))
  const order = bootOrderOf(there)?.filter((name) => known.has(name)) ?? []
  return order.length === 0 ? null : order
}

const numberOf = (device: Element | undefined) => Number(attribute(at(device, 'boot'), 'order') ?? Number.NaN)
const isPlaced = (device: Element | undefined) => !Number.isNaN(numberOf(device))
const inOrder = (devices: Element[]) => devices.toSorted((a, b) => numberOf(a) - numberOf(b))

/**
 * The wanted order: devices that are there, and those that will be added from the wanted domain.
 * @param isByOs the order is that of `<os>`, and must be said device by device
 */
function nextOrder(there: Element, wanted: Element, isByOs: boolean): Element[] {
  const disks = devicesOf(wanted).filter(({ name }) => name === 'disk')
  const drives = hasIso(wanted) ? disks.filter(isCdrom) : []
  const order = isByOs
    ? [...drives, ...disks.filter((disk) => !isCdrom(disk))]
    : inOrder(devicesOf(wanted).filter(isPlaced))
  return order.map((mate) => devicesOf(there).find((device) => mateOf(device, wanted, there) === mate) ?? mate)
}

/**
 * Takes the wanted order of the devices that Horcrux knows. Others, such as a NIC that is in no record or a USB device,
 * keep their places among them.
 */
export const bootOrder: Merge = (there, wanted) => {
  const [was, next] = [knownOrder(there, wanted), bootOrderOf(wanted)]
  if (isDeepStrictEqual(was, next) && !(next === null && isOsOrderOurs(there, wanted))) return
  const placed = inOrder(devicesOf(there).filter(isPlaced))
  const foreign = placed
    .map((device, place) => ({ device, place }))
    .filter(({ device }) => !mateOf(device, wanted, there) && !isOurs(device, there))
  // libvirt takes no order in <os> beside that of a device.
  const isByOs = next === null && foreign.length === 0
  const os = childOf(there, 'os')
  remove(os, 'boot')
  if (isByOs) os.children.push(...elements(at(wanted, 'os'), 'boot'))
  const order = isByOs ? [] : nextOrder(there, wanted, next === null)
  for (const { device, place } of foreign) order.splice(place, 0, device)
  const kept = new Map(order.map((device) => [device, at(device, 'boot')]))
  for (const device of [...devicesOf(there), ...devicesOf(wanted)]) remove(device, 'boot')
  for (const [index, device] of order.entries()) {
    const attributes = { ...kept.get(device)?.attributes, order: String(index + 1) }
    put(device, { name: 'boot', attributes, children: [] })
  }
}
