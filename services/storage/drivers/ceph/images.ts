import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { clientFile, type Config, infoOf, metaOf, rbd, specOf, snapshotsIn, unlessGone } from './rbd.ts'

/** An image beside that of a volume. No volume has `+` in its name. */
export const asideOf = (name: string, what: string) => `${name}+${what}`

const serverOf = (monitor: string) => {
  const [, host = monitor, port] = /^(?:\[(.+?)\]|([^:]+))(?::(\d+))?$/.exec(monitor)?.filter(Boolean) ?? []
  return { host, ...(port !== undefined && { port: Number(port) }) }
}

export const sourceOf = (
  { monitors, pool, user, libvirt_uuid }: Config,
  image: string,
  snapshot?: string,
): DiskSource => ({
  type: 'network',
  protocol: 'rbd',
  name: `${pool}/${image}${snapshot === undefined ? '' : `@${snapshot}`}`,
  servers: monitors.map(serverOf),
  secret: { username: user, usage: 'ceph', uuid: libvirt_uuid },
})

/** An image as tools of QEMU open it. */
export function toolFileOf(config: Config, image: string, secretFile: string, snapshot?: string) {
  const { pool, user } = config
  const file = { driver: 'rbd', pool, image, conf: secretFile, user, ...(snapshot !== undefined && { snapshot }) }
  return { path: `json:${JSON.stringify({ file })}`, secret: clientFile(config) }
}

/** The snapshot of an original from which a linked clone of this name reads. */
export const baseOf = (name: string) => asideOf('clone', name)

/** Protects a snapshot, from which clones can be made then. */
export async function protect(host: Host, config: Config, snapshot: string): Promise<void> {
  const { protected: is } = JSON.parse(await rbd(host, config, ['info', snapshot, '--format', 'json'])) as {
    protected: string
  }
  if (is !== 'true') await rbd(host, config, ['snap', 'protect', snapshot])
}

/** The volume that an image is of: no volume has `+` in its name. */
const volumeOf = (image: string) => image.slice(0, `${image}+`.indexOf('+'))

/** Metadata of a head that was discarded while snapshots of it, or clones of these, are needed. */
const discarded = 'horcrux.discarded'

/**
 * Removes an image, and what was only kept for it: the snapshot that was made for it as a linked clone, and a discarded head
 * that it was cloned from.
 */
export async function removeImage(host: Host, config: Config, image: string): Promise<void> {
  const there = await infoOf(host, config, image)
  if (!there) return
  await unlessGone(rbd(host, config, ['rm', specOf(config, image), '--no-progress']))
  const { parent } = there
  if (!parent) return
  if (parent.snapshot === baseOf(volumeOf(image)))
    await removeSnapshot(host, config, specOf(config, parent.image, parent.snapshot))
  await tidy(host, config, parent.image)
}

/** Removes a discarded head that has no snapshots any more. Ceph itself removes deleted snapshots with their last clone. */
export async function tidy(host: Host, config: Config, image: string): Promise<void> {
  if (!(await isDiscarded(host, config, image))) return
  if ((await snapshotsIn(host, config, image)).length === 0) await removeImage(host, config, image)
}

export const isDiscarded = async (host: Host, config: Config, image: string): Promise<boolean> =>
  (await metaOf(host, config, image, discarded)) !== null

/** Removes a head now, or as soon as nothing needs it. One that is gone is fine. */
export async function discardImage(host: Host, config: Config, image: string): Promise<void> {
  await unlessGone(rbd(host, config, ['image-meta', 'set', specOf(config, image), discarded, 'yes']))
  await tidy(host, config, image)
}

/** Removes a snapshot that no clone reads any more. */
export async function removeSnapshot(host: Host, config: Config, snapshot: string): Promise<void> {
  const info = await rbd(host, config, ['info', snapshot, '--format', 'json']).catch((error: unknown) => {
    if (error instanceof NotFoundError) return null
    throw error
  })
  if (info === null) return
  if ((JSON.parse(info) as { protected: string }).protected === 'true')
    await rbd(host, config, ['snap', 'unprotect', snapshot])
  await unlessGone(rbd(host, config, ['snap', 'rm', snapshot]))
}
