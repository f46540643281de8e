import { domainXml, updateDevice } from '#shared/nodes/libvirt/client/domain.ts'
import type { Guest } from '../../guest.ts'
import { libvirtAt } from '../libvirt.ts'
import { cdromIn, mediumOf, seedIn } from './parse-domain-xml.ts'
import { parseXml, put, remove, writeXml } from './xml.ts'

/**
 * Inserts a medium into a drive of a running guest, even when the guest has locked it; null ejects it.
 * @returns false when the guest was started without such a drive
 */
export async function changeMedium(
  { node, handle: uuid }: Guest,
  drive: 'iso' | 'seed',
  path: string | null,
): Promise<boolean> {
  const libvirt = await libvirtAt(node)
  const domain = parseXml(await domainXml(libvirt, uuid))
  const found = drive === 'iso' ? cdromIn(domain) : seedIn(domain)
  if (!found) return false
  const isThere = mediumOf(found) === path
  if (isThere && (path === null || drive === 'iso')) return true
  remove(found, 'source', 'backingStore')
  found.attributes['type'] = 'file'
  const update = () => updateDevice(libvirt, uuid, writeXml(found), { live: true, force: true })
  // A new seed has the same path as the old one, whose file QEMU would keep open: eject first.
  if (isThere) await update()
  if (path !== null) put(found, { name: 'source', attributes: { file: path }, children: [] })
  await update()
  return true
}
