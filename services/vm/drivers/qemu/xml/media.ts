import { domainXml, updateDevice } from '#shared/nodes/libvirt/client/domain.ts'
import type { Guest } from '../../guest.ts'
import { libvirtAt } from '../libvirt.ts'
import { cdromIn, pathOf, seedDrive, targetOf } from './parse-domain-xml.ts'
import { at, elements, parseXml, put, remove, writeXml } from './xml.ts'

/**
 * Puts another medium into a drive of a guest that runs, also when the guest has locked it; null takes it out.
 * @returns false when the guest was started without such a drive
 */
export async function changeMedium(
  { node, handle: uuid }: Guest,
  drive: 'iso' | 'seed',
  path: string | null,
): Promise<boolean> {
  const libvirt = await libvirtAt(node)
  const domain = parseXml(await domainXml(libvirt, uuid))
  const disks = elements(at(domain, 'devices'), 'disk')
  const found = drive === 'iso' ? cdromIn(domain) : disks.find((disk) => targetOf(disk) === seedDrive)
  if (!found) return false
  const isThere = pathOf(found) === path
  if (isThere && (path === null || drive === 'iso')) return true
  remove(found, 'source', 'backingStore')
  found.attributes['type'] = 'file'
  const update = () => updateDevice(libvirt, uuid, writeXml(found), { live: true, force: true })
  // A new seed has the path of the one before, whose file QEMU would keep open.
  if (isThere) await update()
  if (path !== null) put(found, { name: 'source', attributes: { file: path }, children: [] })
  await update()
  return true
}
