/**
 * Snapshots of RBD images. A restore is a clone of a snapshot, in Ceph's second format: such a snapshot can be deleted at
 * once, and Ceph keeps its objects until the last clone is gone. A head that was discarded stays as long as it has snapshots.
 */
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { secretFiles } from '#shared/nodes/host/secret-files.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Head, SnapshotDriver, VolumeName, VolumeSpec } from '../driver.ts'
import { nameOfHead } from '../independent-snapshots.ts'
import { asideOf, discardImage, isDiscarded, sourceOf, tidy, toolFileOf } from './images.ts'
import { type Config, infoOf, namesIn, rbd, snapshotsIn, specOf, unlessGone, unlessThere } from './rbd.ts'

const ofSnapshot = 'snap+'
const headName = ({ name }: VolumeName, id: string) => asideOf(name, `${id}.head`)
const headOf = ({ head = null, format, size_bytes }: VolumeSpec): Head => ({ head, format, size_bytes })

/** Clones of clones that one head may read through; Ceph searches each of them for every block that is not written. */
const deepest = 8

/** A snapshot: its image with the id that Ceph gave it, and its name. */
type Place = { image: string; id: string; snapshot: string }
const nativeOf = ({ image, id, snapshot }: Place) => `${image}/${id}@${snapshot}`
const placeOf = (native: string): Place => {
  const [, image = '', id = '', snapshot = ''] = /^(.+)\/(.+?)@(.+)$/.exec(native) ?? []
  return { image, id, snapshot }
}

/** The images of a volume: its first head, others, and discarded ones. */
async function imagesOf(host: Host, config: Config, { name }: VolumeName): Promise<string[]> {
  const isOf = (image: string) => image === name || (image.startsWith(`${name}+`) && image.endsWith('.head'))
  return (await namesIn(host, config)).filter(isOf)
}

/** The snapshots of an image that are ours and were not deleted. */
async function ours(host: Host, config: Config, image: string): Promise<string[]> {
  const there = await infoOf(host, config, image)
  if (!there) return []
  return (await snapshotsIn(host, config, image))
    .filter(({ name, namespace }) => namespace.type === 'user' && name.startsWith(ofSnapshot))
    .map(({ name }) => nativeOf({ image, id: there.id, snapshot: name }))
}

/** Finds a snapshot in the image that it was taken of. @throws NotFoundError when it, or that image, is gone */
async function requireSnapshot(host: Host, config: Config, native: string): Promise<Place> {
  const place = placeOf(native)
  if ((await ours(host, config, place.image)).includes(native)) return place
  throw new NotFoundError(`Snapshot ${place.snapshot} of RBD image '${specOf(config, place.image)}' not found`)
}

/** Deletes a snapshot; one that is gone is fine, and so is another image in the place of its own. */
async function remove(host: Host, config: Config, native: string): Promise<void> {
  const { image, id, snapshot } = placeOf(native)
  if ((await infoOf(host, config, image))?.id !== id) return
  await unlessGone(rbd(host, config, ['snap', 'rm', specOf(config, image, snapshot), '--no-progress']))
  await tidy(host, config, image)
}

const clone = (host: Host, config: Config, { image, snapshot }: Place, to: string) =>
  unlessThere(
    rbd(host, config, [
      'clone',
      '--rbd-default-clone-format',
      '2',
      specOf(config, image, snapshot),
      specOf(config, to),
    ]),
  )

/** Copies into a head all that it reads from others, when it would read through too many. The guest is off. */
async function flattenIfDeep(host: Host, config: Config, head: string): Promise<void> {
  let depth = 0
  for (let image: string | undefined = head; image !== undefined; depth++)
    image = (await infoOf(host, config, image))?.parent?.image
  if (depth > deepest)
    await rbd(host, config, ['flatten', specOf(config, head), '--no-progress'], { timeoutMs: Infinity })
}

type Usage = { images: { name: string; snapshot?: string; used_size: number }[] }

export const cephSnapshots: SnapshotDriver<'ceph'> = {
  moment: 'storage',

  // Objects are copied when they are written.
  foresee: async () => ({ needed_bytes: 0, obstacles: [] }),

  async take(host, config, volumes, id) {
    const snapshot = `${ofSnapshot}${id}`
    const made: string[] = []
    const taken: string[] = []
    try {
      for (const volume of volumes) {
        const image = nameOfHead(volume)
        const there = await infoOf(host, config, image)
        if (!there) throw new NotFoundError(`RBD image '${specOf(config, image)}' not found`)
        const native = nativeOf({ image, id: there.id, snapshot })
        const words = ['snap', 'create', specOf(config, image, snapshot), '--no-progress']
        if (await unlessThere(rbd(host, config, words))) made.push(native)
        taken.push(native)
      }
    } catch (error) {
      for (const native of made) await remove(host, config, native)
      throw error
    }
    return volumes.map((volume, index) => ({ native: taken[index]!, head: headOf(volume) }))
  },

  async open(host, config, volume, { native }, id) {
    const head = headName(volume, id)
    if (!(await infoOf(host, config, head))) {
      await clone(host, config, await requireSnapshot(host, config, native), head)
      await flattenIfDeep(host, config, head)
    }
    const there = await infoOf(host, config, head)
    if (!there) throw new ConflictError(`RBD image '${specOf(config, head)}' was removed meanwhile`)
    return { head, format: volume.format, size_bytes: there.size }
  },

  // A head is in place when the record of the volume names it.
  swap: async () => undefined,

  async discard(host, config, volume, head) {
    await discardImage(host, config, nameOfHead({ ...volume, head }))
  },

  foreseeDeletion: async () => ({ plan: 'delete', bytes: 0, obstacle: null, merge: null }),

  async delete(host, config, { volume, snapshots }, id) {
    const gone = snapshots.find((each) => each.id === id)
    if (gone) await remove(host, config, gone.native)
    const left = snapshots.filter((each) => each.id !== id).map(({ id: other, native }) => ({ id: other, native }))
    return { snapshots: left, head: headOf(volume), leftover: null }
  },

  async deleteAll(host, config, { volume, snapshots, keptHeads }) {
    for (const { native } of snapshots) await remove(host, config, native)
    const images = await imagesOf(host, config, volume)
    const heads = [nameOfHead(volume), ...keptHeads].filter((image) => images.includes(image))
    for (const image of heads) await discardImage(host, config, image)
  },

  async list(host, config, volume) {
    const found: string[] = []
    for (const image of await imagesOf(host, config, volume)) {
      found.push(...(await ours(host, config, image)))
      if (!(await isDiscarded(host, config, image))) found.push(image)
    }
    return found
  },

  async usage(host, config, { snapshots }) {
    const images = new Set(snapshots.map(({ native }) => placeOf(native).image))
    const sizes = new Map<string, number>()
    for (const image of images) {
      const said = await rbd(host, config, ['du', specOf(config, image), '--format', 'json'])
      for (const { snapshot, used_size } of (JSON.parse(said) as Usage).images)
        if (snapshot !== undefined) sizes.set(`${image}@${snapshot}`, used_size)
    }
    return snapshots.map(({ id, native }) => {
      const { image, snapshot } = placeOf(native)
      // Objects that another snapshot or a clone needs too are known only by comparing all of them.
      return { id, held_bytes: sizes.get(`${image}@${snapshot}`) ?? null, freed_bytes: null }
    })
  },

  async original(host, config, volume, { native }) {
    const { image, snapshot } = await requireSnapshot(host, config, native)
    return {
      source: sourceOf(config, image, snapshot),
      format: volume.format,
      tool: toolFileOf(config, image, secretFiles[0], snapshot),
    }
  },

  async clone(host, config, { snapshot }, volume, { ifExists }) {
    const from = await requireSnapshot(host, config, snapshot.native)
    return (await clone(host, config, from, volume.name)) || ifExists === 'accept'
  },
}
