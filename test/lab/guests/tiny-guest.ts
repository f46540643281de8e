import { basename, join } from 'node:path'
import { buildTinyGuest, type TinyGuest } from '../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LabHost } from '../hosts/hosts.ts'

/** The tiny guest in a lab host's folder of images, with its paths as the host sees them. */
export async function guestOn(host: LabHost, how: { agent?: boolean } = {}): Promise<TinyGuest> {
  const built = await buildTinyGuest(localHost(), join(host.dir, 'guest'), how)
  const asSeen = (path: string) => join('/var/lib/libvirt/images/guest', basename(path))
  return { ...built, kernel: asSeen(built.kernel), initrd: asSeen(built.initrd) }
}
