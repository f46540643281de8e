import { dirname } from 'node:path'
import { NotFoundError } from '#shared/errors.ts'
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

/** Gives a guest the firmware of another on its node, and its UEFI variables, which are of use to no other firmware. */
export async function copyFirmware(from: Guest, to: Guest): Promise<void> {
  const reached = await reach(to.node)
  const { host } = reached
  const [source, target] = [await definitionOf(reached, from), await definitionOf(reached, to)]
  if (!source || !target) return
  if (takeFirmware(target, source)) await defineDomain(libvirtOf(reached), writeXml(target), { validate: false })
  const [there, path] = [variablesIn(source), variablesIn(target)]
  // A guest that never started has none.
  if (there === null || path === null || !(await host.stat(there))) return
  await host.mkdir(dirname(path), { mode: 0o711 })
  await makeFile(host, path, (aside) => host.runChecked('cp', ['--', there, aside]), { isReplacing: true })
}
