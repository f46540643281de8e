import { domainXml, updateDevice } from '#shared/libvirt/domain.ts'
import { reach } from '#shared/nodes.ts'
import type { Guest } from '../driver.ts'
import { driveName, driveXml } from './domain-xml.ts'

/**
 * Puts another medium into a drive of a guest that runs, also when the guest has locked it; null takes it out.
 * @returns false when the guest was started without such a drive
 */
export async function changeMedium(
  { node, domain_uuid }: Guest,
  drive: 'iso' | 'seed',
  path: string | null,
): Promise<boolean> {
  const { libvirt } = await reach(node)
  const xml = await domainXml(libvirt, domain_uuid)
  if (!xml.includes(`<target dev='${driveName(drive)}'`)) return false
  await updateDevice(libvirt, domain_uuid, driveXml(drive, path), { live: true, force: true })
  return true
}
