import { XMLParser } from 'fast-xml-parser'
import type { ConsoleType, Endpoint } from '#shared/contracts/vm/consoles.ts'
import { ConflictError } from '#shared/errors.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../../guest.ts'
import type { Files } from '../xml/domain-xml.ts'
import { filesOf } from '../files.ts'

/** The parts of a live domain's XML that tell where its consoles are (libvirt's "Domain XML format"). */
type Listen = { '@type'?: string; '@socket'?: string; '@address'?: string }
type Graphics = { '@type': string; '@port'?: string; '@passwd'?: string; '@socket'?: string; listen?: Listen[] }
type Serial = { '@type': string; source?: { '@path'?: string }; log?: { '@file'?: string } }
type Live = { domain: { devices: { graphics?: Graphics[]; serial?: Serial[] } } }

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseAttributeValue: false,
  isArray: (name) => ['graphics', 'listen', 'serial'].includes(name),
})

/** Finds a console in the definition that a guest runs with. @throws ConflictError when it has no such console */
export async function findConsole(guest: Guest, type: ConsoleType): Promise<Endpoint> {
  const reached = await reach(guest.node)
  const { domain } = parser.parse(await domainXml(libvirtOf(reached), guest.handle, { secure: true })) as Live
  const { graphics = [], serial = [] } = domain.devices
  return type === 'serial' ? serialIn(serial, guest, filesOf(reached, guest.id)) : displayIn(graphics, type, guest)
}

function displayIn(all: Graphics[], type: ConsoleType, { id }: Guest): Endpoint {
  const display = all.find((one) => one['@type'] === type)
  if (!display)
    throw new ConflictError(
      `Virtual machine '${id}' runs without ${type.toUpperCase()}: add '${type}' to its graphics, and start it anew`,
      { details: { graphics: all.map((one) => one['@type']) } },
    )
  const password = display['@passwd'] ?? null
  const listen = display.listen?.[0]
  const path = listen?.['@socket'] ?? display['@socket']
  if (path) return { kind: 'display', socket: { path }, password }
  const port = Number(display['@port'] ?? -1)
  if (port > 0) return { kind: 'display', socket: { host: reachable(listen?.['@address']), port }, password }
  throw new ConflictError(`The ${type.toUpperCase()} of virtual machine '${id}' listens nowhere`)
}

/** The address to connect to, for a display that listens on all addresses. */
const reachable = (address = '127.0.0.1') => ({ '0.0.0.0': '127.0.0.1', '::': '::1' })[address] ?? address

/** The first that writes a log; the definition of an adopted guest may have others, which are its owner's. */
function serialIn(all: Serial[], { id }: Guest, files: Files): Endpoint {
  const found = all.find(({ log }) => log?.['@file'])
  const log = found?.log?.['@file']
  if (!found || !log)
    throw new ConflictError(
      `The definition of virtual machine '${id}' has no serial console that writes a log. Give it this one with virsh edit, and start it anew: ${consoleXml(files)}`,
    )
  const path = found['@type'] === 'unix' ? found.source?.['@path'] : undefined
  return { kind: 'serial', log, input: path ? { path } : null }
}

const consoleXml = ({ log, socket }: Files) =>
  `<serial type='unix'><source mode='bind' path='${socket}'/><log file='${log}' append='off'/></serial>`
