import { dirname } from 'node:path'
import { NotFoundError, type Violation } from '#shared/errors.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { defineDomain, domainXml } from '#shared/nodes/libvirt/client/domain.ts'
import { makeFile } from '#shared/nodes/host/made-files.ts'
import { type Reached, reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../guest.ts'
import type { Files } from './xml/domain-xml.ts'
import { takeFirmware } from './xml/firmware.ts'
import { firmwareOf } from './xml/parse-domain-xml.ts'
import { serialLogOf, serialSocketOf } from './guest/serial.ts'
import { unlessMissing } from './state.ts'
import { at, attribute, type Element, parseXml, textOf, writeXml } from './xml/xml.ts'

/** The files of a guest on its node, under its id: a name may change, and another guest have it then. */
export const filesOf = (reached: Reached, id: string): Files => ({
  log: serialLogOf(reached, id),
  socket: serialSocketOf(reached, id),
  variables: `${reached.node.state_dir}/nvram/${id}.fd`,
})

/** The file that keeps the definition of a shelved guest. */
export const shelfOf = ({ node }: Pick<Reached, 'node'>, id: string) => `${node.state_dir}/shelved/${id}.xml`

/** Reads the definition of a shelved guest; null when there is none. */
export async function shelvedXml(reached: Reached, id: string): Promise<string | null> {
  try {
    return (await reached.host.readFile(shelfOf(reached, id))).toString('utf8')
  } catch (error) {
    if (error instanceof NotFoundError) return null
    throw error
  }
}

/** libvirt's folder for the variables of domains that name no file. */
const usualFolder = '/var/lib/libvirt/qemu/nvram'

/** The file with the variables of a domain's UEFI; null for one that has none. */
export function variablesIn(domain: Element): string | null {
  if (firmwareOf(domain) !== 'uefi') return null
  const nvram = at(domain, 'os', 'nvram')
  return (
    textOf(nvram) || attribute(at(nvram, 'source'), 'file') || `${usualFolder}/${textOf(at(domain, 'name'))}_VARS.fd`
  )
}

/** The definition of a guest, shelved or not; null when its host has none. */
export async function definitionOf(
  reached: Reached,
  { id, handle: uuid }: Pick<Guest, 'id' | 'handle'>,
): Promise<Element | null> {
  const there = await unlessMissing(() => domainXml(libvirtOf(reached), uuid, { inactive: true, secure: true }), null)
  const xml = there ?? (await shelvedXml(reached, id))
  return xml === null ? null : parseXml(xml)
}

/** Copies a file of a node to another, or to the same one, aside first. One that is not there is left out. */
export async function copyFile(from: Reached, to: Reached, path: { from: string; to: string }): Promise<void> {
  // A guest that never started has no variables.
  if (!(await from.host.stat(path.from))) return
  const content = await from.host.readFile(path.from)
  await to.host.mkdir(dirname(path.to), { mode: 0o711 })
  // Its content is in no argument: a seed has the hash of a password.
  const write = (aside: string) =>
    to.host.runChecked('dd', [`of=${aside}`, 'conv=notrunc,fsync', 'status=none'], { input: content })
  await makeFile(to.host, path.to, write, { isReplacing: true })
}

/** Gives a guest the firmware of another, and its UEFI variables, which are of use to no other firmware. */
export async function copyFirmware(from: Guest, to: Guest): Promise<void> {
  const [there, here] = await Promise.all([reach(from.node), reach(to.node)])
  const [source, target] = [await definitionOf(there, from), await definitionOf(here, to)]
  if (!source || !target) return
  if (takeFirmware(target, source)) await defineDomain(libvirtOf(here), writeXml(target), { validate: false })
  const [variables, path] = [variablesIn(source), variablesIn(target)]
  if (variables !== null && path !== null) await copyFile(there, here, { from: variables, to: path })
}

/** Files of a guest's firmware that a node does not have: the firmware itself, and the template of its variables. */
export async function lackingFirmware(from: Guest, { host, node }: Reached): Promise<Violation[]> {
  const os = at((await definitionOf(await reach(from.node), from)) ?? parseXml('<domain/>'), 'os')
  const files = [textOf(at(os, 'loader')), attribute(at(os, 'nvram'), 'template')].filter((path) => !!path)
  const there = await Promise.all(files.map((path) => host.stat(path!)))
  return files
    .filter((_, index) => there[index] === null)
    .map((path) => ({ field: 'firmware', code: 'not_found', message: `node '${node.id}' has no ${path}` }))
}
