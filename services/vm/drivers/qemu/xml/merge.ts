import { isDeepStrictEqual } from 'node:util'
import {
  alignSeed,
  controllers,
  devices,
  isOurs,
  mateOf,
  type Merge,
  takeDisk,
  takeNic,
  unwanted,
} from './merge-devices.ts'
import {
  balloonOf,
  bootOf,
  bootOrderOf,
  cpusOf,
  firmwareOf,
  graphicsOf,
  isoOf,
  isSame,
  memoryOf,
  namesOf,
  processorOf,
  videoOf,
} from './parse-domain-xml.ts'
import {
  at,
  attribute,
  childOf,
  type Element,
  elements,
  parseXml,
  put,
  remove,
  takeAttributes,
  takeChild,
  textOf,
  writeXml,
} from './xml.ts'

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
  // libvirt's list of single processors is for the old number.
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
    // These belong to the old model.
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
  takeChild(os, at(wanted, 'os'), 'nvram')
}

const kernel: Merge = (there, wanted) => {
  if (isSame(there, wanted, bootOf)) return
  for (const each of ['kernel', 'initrd', 'cmdline']) takeChild(childOf(there, 'os'), at(wanted, 'os'), each)
}

const hasIso = (domain: Element) => isoOf(domain) !== null
const osBoot = (domain: Element) => elements(at(domain, 'os'), 'boot').map((boot) => attribute(boot, 'dev'))

/** True when the order in `<os>` is to be rewritten: only one that we would write, for another ISO. */
function isOsOrderOurs(there: Element, wanted: Element): boolean {
  const others = elements(at(there, 'devices')).filter(
    (device) => !isOurs(device, there) || mateOf(device, wanted, there),
  )
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

const graphics: Merge = (there, wanted) => {
  const into = childOf(there, 'devices')
  if (!isSame(there, wanted, graphicsOf)) {
    const others = elements(into, 'graphics').filter((each) => !isDisplay(each))
    remove(into, 'graphics')
    into.children.push(...others, ...elements(at(wanted, 'devices'), 'graphics'))
  }
  if (isSame(there, wanted, videoOf)) return
  remove(into, 'video')
  into.children.push(...elements(at(wanted, 'devices'), 'video'))
}
const isDisplay = (device: Element) => ['vnc', 'spice'].includes(attribute(device, 'type') ?? '')

const mark: Merge = (there, wanted) => {
  const ours = at(wanted, 'metadata', 'horcrux:vm')
  if (ours) put(childOf(there, 'metadata'), ours)
}

/** The parts of an existing domain that Horcrux owns. The mark comes last: the others read it. */
const owned: Merge[] = [
  alignSeed,
  name,
  memory,
  cpus,
  processor,
  firmware,
  kernel,
  bootOrder,
  graphics,
  unwanted,
  devices('disk', takeDisk),
  devices('interface', takeNic),
  controllers,
  mark,
]

/**
 * Changes an existing domain in the parts that Horcrux owns. Every other element, attribute and device stays.
 * @param there the domain's inactive XML, with its secrets
 * @param wanted the XML that Horcrux would write for a new domain
 */
export function mergeDomain(there: string, wanted: string): string {
  const domain = parseXml(there)
  const next = parseXml(wanted)
  for (const merge of owned) merge(domain, next)
  return writeXml(domain)
}

/** Removes our mark from a domain. */
export function unmarked(there: string): string {
  const domain = parseXml(there)
  const metadata = at(domain, 'metadata')
  if (metadata) remove(metadata, 'horcrux:vm')
  if (metadata && elements(metadata).length === 0) remove(domain, 'metadata')
  return writeXml(domain)
}
