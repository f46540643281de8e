import { bootOrder } from './merge-boot-order.ts'
import { alignSeed, controllers, devices, type Merge, takeDisk, takeNic, unwanted } from './merge-devices.ts'
import { cpus, memory } from './merge-sizes.ts'
import { bootOf, firmwareOf, graphicsOf, isSame, processorOf, videoOf } from './parse-domain-xml.ts'
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

const typeOf = (device: Element) => attribute(device, 'type') ?? ''
/** Devices that only a SPICE display serves; a guest with one of them and no such display does not start. */
const needsSpice = (device: Element) =>
  ['spicevmc', 'spiceport'].includes(typeOf(device)) || (device.name === 'audio' && typeOf(device) === 'spice')

/** Adds and removes displays. Those that stay keep their password, keymap and address. */
const graphics: Merge = (there, wanted) => {
  const into = childOf(there, 'devices')
  const [has, next] = [graphicsOf(there), graphicsOf(wanted)]
  const gone = (device: Element) =>
    (device.name === 'graphics' && has.some((type) => type === typeOf(device) && !next.includes(type))) ||
    (has.includes('spice') && !next.includes('spice') && needsSpice(device))
  into.children = into.children.filter((child) => typeof child === 'string' || !gone(child))
  const added = elements(at(wanted, 'devices'), 'graphics').filter((each) => !has.some((type) => type === typeOf(each)))
  into.children.push(...added)
}

/** Changes the first video device, which `videoOf` reads; further ones stay while there is a first. */
const video: Merge = (there, wanted) => {
  if (isSame(there, wanted, videoOf)) return
  const into = childOf(there, 'devices')
  const [first] = elements(into, 'video')
  const next = elements(at(wanted, 'devices'), 'video')
  if (videoOf(wanted) === 'none' || !first) {
    remove(into, 'video')
    into.children.push(...next)
  } else into.children = into.children.map((child) => (child === first ? next[0]! : child))
}

const mark: Merge = (there, wanted) => {
  const ours = at(wanted, 'metadata', 'horcrux:vm')
  if (!ours) return
  const own = at(there, 'metadata', 'horcrux:vm')
  // Of the domain, not of this definition of it.
  if (attribute(own, 'id') === attribute(ours, 'id')) takeAttributes(ours, own, 'made_by')
  put(childOf(there, 'metadata'), ours)
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
  video,
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
