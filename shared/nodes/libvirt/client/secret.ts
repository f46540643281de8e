import { XMLBuilder } from 'fast-xml-parser'
import type { Libvirt } from '../connection/connection.ts'

/**
 * A secret for disks. `usage`: libvirt's type of it. `name` tells it from others of this usage, in an element whose word is
 * `label`.
 */
type LibvirtSecret = { id: string; usage: string; label: 'name' | 'target'; name: string; secret: Uint8Array }

/** libvirt's XML of a secret ("Secret XML format"). A private one can be used, but no client of libvirt reads its value. */
export function secretXml({ id, usage, label, name }: Omit<LibvirtSecret, 'secret'>): string {
  const builder = new XMLBuilder({ ignoreAttributes: false, attributeNamePrefix: '@' })
  return builder.build({
    secret: { '@ephemeral': 'no', '@private': 'yes', uuid: id, usage: { '@type': usage, [label]: name } },
  })
}

/** Keeps a secret at the host, for domains that name its UUID. Repeating it is fine. */
export const setSecret = async (libvirt: Libvirt, { secret: value, ...named }: LibvirtSecret): Promise<void> => {
  await libvirt.call('setSecret', { xml: secretXml(named), value })
}
