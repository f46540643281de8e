import { isDeepStrictEqual } from 'node:util'
import {
  balloonOf,
  bootOf,
  bootOrderOf,
  cacheOf,
  cdromIn,
  cpusOf,
  firmwareOf,
  formatOf,
  isoOf,
  isCdrom,
  isoDrive,
  isSame,
  macOf,
  markOf,
  memoryOf,
  modelOf,
  namesOf,
  pathOf,
  processorOf,
  targetOf,
} from './read.ts'
import { at, attribute, type Element, elements, parseXml, put, remove, textOf, writeXml } from './xml.ts'

/** Brings one thing that Horcrux owns from the wanted domain into the one that is there. */
type Merge = (there: Element, wanted: Element) => void

/** Sets or takes away the attributes of an element as another has them. */
function takeAttributes(into: Element, from: Element | undefined, ...names: string[]): void {
  for (const name of names) {
    const value = attribute(from, name)
    if (value === undefined) delete into.attributes[name]
    else into.attributes[name] = value
  }
}

/** Puts the child of this name in, as the other has it or has it not. */
function takeChild(into: Element, from: Element | undefined, name: string): void {
  const child = at(from, name)
  if (child) put(into, child)
  else remove(into, name)
}

/** The child of this name, made when it is not there. */
function childOf(of: Element, name: string): Element {
  const there = at(of, name)
  if (there) return there
  const made = { name, attributes: {}, children: [] }
  of.children.push(made)
  return made
}

const name: Merge = (there, wanted) => {
  if (textOf(at(there, 'name')) !== textOf(at(wanted, 'name'))) takeChild(there, wanted, 'name')
}

const memory: Merge = (there, wanted) => {
  if (isSame(there, wanted, memoryOf) && isSame(there, wanted, balloonOf)) return
  takeChild(there, wanted, 'memory')
  takeChild(there, wanted, 'currentMemory')
}

const cpus: Merge = (there, wanted) => {
  if (isSame(there, wanted, cpusOf)) return
  // What libvirt keeps of each single processor holds for as many as there were.
  remove(there, 'vcpus')
  const vcpu = childOf(there, 'vcpu')
  takeAttributes(vcpu, at(wanted, 'vcpu'), 'current')
  vcpu.children = [textOf(at(wanted, 'vcpu'))]
}

const processor: Merge = (there, wanted) => {
  const was = processorOf(there)
  const next = processorOf(wanted)
  if (was.cpu_model !== next.cpu_model) {
    const cpu = childOf(there, 'cpu')
    takeAttributes(cpu, at(wanted, 'cpu'), 'mode', 'match', 'check')
    takeChild(cpu, at(wanted, 'cpu'), 'model')
    // They are those of the model that was.
    remove(cpu, 'feature', 'vendor')
  }
  if (isSame(there, wanted, (domain) => processorOf(domain).topology)) return
  takeChild(childOf(there, 'cpu'), at(wanted, 'cpu'), 'topology')
}

const firmware: Merge = (there, wanted) => {
  if (isSame(there, wanted, firmwareOf)) return
  const os = childOf(there, 'os')
  takeAttributes(os, at(wanted, 'os'), 'firmware')
  remove(os, 'loader', 'nvram', 'firmware')
}

const kernel: Merge = (there, wanted) => {
  if (isSame(there, wanted, bootOf)) return
  for (const each of ['kernel', 'initrd', 'cmdline']) takeChild(childOf(there, 'os'), at(wanted, 'os'), each)
}

const hasIso = (domain: Element) => isoOf(domain) !== null
const osBoot = (domain: Element) => elements(at(domain, 'os'), 'boot').map((boot) => attribute(boot, 'dev'))

/** Whether `<os>` is to say another order: only where it has one that we would write, for another ISO than now. */
function isOsOrderOurs(there: Element, wanted: Element): boolean {
  const others = elements(at(there, 'devices')).filter(
    (device) => !isOurs(device, there) || mateOf(device, wanted, there),
  )
  if (osBoot(wanted).length === 0 || others.some((device) => at(device, 'boot'))) return false
  const [was, next] = [osBoot(there).join(' '), osBoot(wanted).join(' ')]
  return was === '' || (was !== next && ['hd', 'cdrom hd'].includes(was) && hasIso(there) !== hasIso(wanted))
}

/** The order that is there, as far as it is of devices that Horcrux knows. */
function knownOrder(there: Element, wanted: Element): string[] | null {
  const known = new Set(namesOf(wanted))
  const order = bootOrderOf(there)?.filter((name) => known.has(name)) ?? []
  return order.length === 0 ? null : order
}

const bootOrder: Merge = (there, wanted) => {
  const [was, next] = [knownOrder(there, wanted), bootOrderOf(wanted)]
  if (isDeepStrictEqual(was, next) && !(next === null && isOsOrderOurs(there, wanted))) return
  const os = childOf(there, 'os')
  remove(os, 'boot')
  if (next === null) os.children.push(...elements(at(wanted, 'os'), 'boot'))
  for (const device of elements(at(there, 'devices'))) remove(device, 'boot')
  for (const device of elements(at(there, 'devices'))) {
    const boot = at(mateOf(device, wanted, there), 'boot')
    if (boot) put(device, boot)
  }
}

/** Whether a device of the domain is the same as a wanted one. */
function isMate(device: Element, wanted: Element, domain: Element): boolean {
  if (device.name !== wanted.name) return false
  if (device.name === 'interface') return macOf(device) === macOf(wanted)
  if (device.name !== 'disk') return false
  if (targetOf(device) === targetOf(wanted)) return true
  // Whatever the drive of a domain is called that was not made by us, the ISO goes into it.
  return isCdrom(wanted) && targetOf(wanted) === isoDrive && cdromIn(domain) === device
}

function takeDisk(disk: Element, wanted: Element): void {
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

function takeNic(nic: Element, wanted: Element): void {
  const source = (of: Element) => attribute(at(of, 'source'), 'network') ?? attribute(at(of, 'source'), 'bridge')
  if (attribute(nic, 'type') !== attribute(wanted, 'type') || source(nic) !== source(wanted)) {
    takeAttributes(nic, wanted, 'type')
    takeChild(nic, wanted, 'source')
  }
  if (modelOf(nic) !== modelOf(wanted)) takeChild(nic, wanted, 'model')
}

/** Whether a device is in our mark. */
function isOurs(device: Element, domain: Element): boolean {
  const { disks, nics } = markOf(domain)
  if (device.name === 'interface') return nics.includes(macOf(device))
  return disks.includes(cdromIn(domain) === device ? isoDrive : targetOf(device))
}

const mateOf = (device: Element, wanted: Element, domain: Element) =>
  elements(at(wanted, 'devices'), device.name).find((other) => isMate(device, other, domain))

/** Takes away what was ours and is not wanted any more; a drive stays, empty. */
const unwanted: Merge = (there, wanted) => {
  const from = childOf(there, 'devices')
  const isUnwanted = (device: Element) => isOurs(device, there) && !mateOf(device, wanted, there)
  const gone = [...elements(from, 'disk'), ...elements(from, 'interface')].filter(isUnwanted)
  for (const drive of gone.filter(isCdrom)) remove(drive, 'source')
  from.children = from.children.filter((child) => !gone.some((device) => device === child && !isCdrom(device)))
}

const devices =
  (kind: 'disk' | 'interface', take: Merge): Merge =>
  (there, wanted) => {
    const into = childOf(there, 'devices')
    const found = elements(into, kind).map((device) => ({ device, mate: mateOf(device, wanted, there) }))
    for (const { device, mate } of found) if (mate) take(device, mate)
    const known = new Set(found.map(({ mate }) => mate))
    into.children.push(...elements(at(wanted, 'devices'), kind).filter((each) => !known.has(each)))
  }

const controllers: Merge = (there, wanted) => {
  const type = (controller: Element) => attribute(controller, 'type')
  const into = childOf(there, 'devices')
  const has = new Set(elements(into, 'controller').map(type))
  into.children.push(...elements(at(wanted, 'devices'), 'controller').filter((each) => !has.has(type(each))))
}

const mark: Merge = (there, wanted) => {
  const ours = at(wanted, 'metadata', 'horcrux:vm')
  if (ours) put(childOf(there, 'metadata'), ours)
}

/** What Horcrux owns of a domain that is there; all else belongs to whoever put it in. The mark, which says what is ours, last. */
const owned: Merge[] = [
  name,
  memory,
  cpus,
  processor,
  firmware,
  kernel,
  bootOrder,
  unwanted,
  devices('disk', takeDisk),
  devices('interface', takeNic),
  controllers,
  mark,
]

/**
 * The domain that is there, changed in what Horcrux owns and nothing else: every element, attribute and device that it
 * does not know stays.
 * @param there the domain's inactive XML, with its secrets
 * @param wanted the XML that Horcrux would make of it anew
 */
export function mergeDomain(there: string, wanted: string): string {
  const domain = parseXml(there)
  const next = parseXml(wanted)
  for (const merge of owned) merge(domain, next)
  return writeXml(domain)
}

/** Takes our mark out of a domain. */
export function unmarked(there: string): string {
  const domain = parseXml(there)
  const metadata = at(domain, 'metadata')
  if (metadata) remove(metadata, 'horcrux:vm')
  if (metadata && elements(metadata).length === 0) remove(domain, 'metadata')
  return writeXml(domain)
}
