import { randomUUID } from 'node:crypto'
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { VolumeName as Name } from '#shared/contracts/storage/volumes.ts'
import { isValid } from '#shared/contract/validate.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { secretFiles } from '#shared/nodes/host/secret-files.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { dataBytesOf, fileOfOriginal } from '../../images/images.ts'
import { convertImage } from '../../images/qemu-img.ts'
import {
  type Copying,
  type IfExists,
  type Original,
  type PoolDriver,
  unknownFigures,
  type VolumeName,
  type VolumeSpec,
} from '../driver.ts'
import { nameOfHead } from '../independent-snapshots.ts'
import { asideOf, baseOf, protect, removeImage, sourceOf, toolFileOf } from './images.ts'
import { cephSnapshots } from './snapshots.ts'
import { ceph as ask, type Config, infoOf, namesIn, rbd, specOf, unlessGone, unlessThere } from './rbd.ts'

/** Makes an image aside, fills it, and gives it its name. @returns false when an image has the name already */
async function createAside(
  host: Host,
  config: Config,
  { name, size_bytes }: VolumeSpec,
  { ifExists }: IfExists,
  fill: (aside: string) => Promise<unknown>,
): Promise<boolean> {
  if (await infoOf(host, config, name)) return ifExists === 'accept'
  const aside = asideOf(name, `${randomUUID()}.new`)
  await removeAsides(host, config, name)
  try {
    await rbd(host, config, ['create', specOf(config, aside), '--size', `${size_bytes}B`])
    await fill(aside)
    await requireCurrent()
    return await unlessThere(rbd(host, config, ['mv', specOf(config, aside), specOf(config, name)]))
  } finally {
    await unlessGone(rbd(host, config, ['rm', specOf(config, aside)]))
  }
}

/** Removes the images that interrupted copies have left. */
async function removeAsides(host: Host, config: Config, name: string): Promise<void> {
  const isLeft = (image: string) =>
    image.startsWith(`${name}+`) && /^[0-9a-f-]{36}\.new$/.test(image.slice(name.length + 1))
  for (const image of (await namesIn(host, config)).filter(isLeft))
    await unlessGone(rbd(host, config, ['rm', specOf(config, image)]))
}

async function copyFull(host: Host, original: Original, config: Config, volume: VolumeSpec, copying: Copying) {
  const from = fileOfOriginal(original)
  return createAside(host, config, volume, copying, (aside) =>
    convertImage(host, from, { ...toolFileOf(config, aside, secretFiles[1]), format: 'raw', isThere: true }, copying),
  )
}

/** @throws ConflictError for an original that is no volume of the storage pool */
function imageOfOriginal(config: Config, { source }: Original): string {
  const [pool, image, more] = source.type === 'network' ? source.name.split('/') : []
  if (pool !== config.pool || image === undefined || image.includes('@') || more !== undefined)
    throw new ConflictError('a linked clone lies in the Ceph pool of its original')
  return image
}

async function copyLinked(
  host: Host,
  original: Original,
  config: Config,
  { name }: VolumeName,
  { ifExists }: IfExists,
) {
  const there = await infoOf(host, config, name)
  const image = imageOfOriginal(config, original)
  if (there) return ifExists === 'accept' && there.parent?.image === image
  const base = specOf(config, image, baseOf(name))
  await unlessThere(rbd(host, config, ['snap', 'create', base]))
  await protect(host, config, base)
  await requireCurrent()
  return unlessThere(rbd(host, config, ['clone', base, specOf(config, name)]))
}

type Stats = { pools: { name: string; stats: { stored?: number; bytes_used?: number; max_avail?: number } }[] }

/** Sizes of a pool in the answer of `ceph df`; null when the cluster's manager has counted nothing. */
export function spaceIn({ pools }: Stats, pool: string) {
  const stats = pools.find(({ name }) => name === pool)?.stats
  if (stats?.max_avail === undefined) return null
  const stored_bytes = stats.stored ?? stats.bytes_used ?? 0
  return { stored_bytes, capacity_bytes: stored_bytes + stats.max_avail, available_bytes: stats.max_avail }
}

/** An empty image that marks a Ceph pool as a storage pool. */
const marker = 'horcrux+pool'

/** The marker's id and time: another marker has others. `rbd` tells them ten times faster than `ceph` tells anything. */
async function identify(host: Host, config: Config): Promise<string | null> {
  const info = await infoOf(host, config, marker)
  if (info) return `${info.id} ${info.create_timestamp}`
  // Throws NotFoundError for a pool that is not there.
  await namesIn(host, config)
  return null
}

async function createMarker(host: Host, config: Config): Promise<string> {
  await unlessThere(rbd(host, config, ['create', specOf(config, marker), '--size', '0']))
  const identity = await identify(host, config)
  if (identity === null) throw new ConflictError(`Ceph pool '${config.pool}': its marker was removed meanwhile`)
  return identity
}

/** Volumes are RBD images. Guests and tools reach them through librbd, without a driver of the kernel. */
export const ceph: PoolDriver<'ceph'> = {
  nodesOf: ({ nodes }) => nodes ?? null,
  placeOf: ({ monitors, pool }) => `rbd:${monitors.toSorted().join(',')}/${pool}`,
  capabilitiesOf: () => ({
    formats: ['raw'],
    default_format: 'raw',
    snapshots: true,
    linked_clones: true,
    linked_clone_format: 'raw',
    linked_clones_pinned: false,
    live_clones: false,
    send: false,
    shared: true,
    live_resize: true,
    objects: false,
  }),

  prepare: async (_site, _id, { nodes = null, ...given }) => ({ ...given, nodes, libvirt_uuid: randomUUID() }),

  secretOf: ({ libvirt_uuid: id, key: secret, user, pool }) => ({
    id,
    usage: 'ceph',
    label: 'name',
    name: `Horcrux: client.${user} for ${pool} (${id})`,
    secret,
  }),

  create: createMarker,
  identify,
  /** The Ceph pool itself belongs to the administrator of the cluster. */
  async remove(host, config) {
    const names = await namesIn(host, config)
    if (names.length === 1 && names[0] === marker) await unlessGone(rbd(host, config, ['rm', specOf(config, marker)]))
  },

  async usage(host, config) {
    const [identity, stats] = await Promise.all([identify(host, config), ask<Stats>(host, config, ['df'])])
    if (identity === null) throw new NotFoundError(`Storage pool in Ceph pool '${config.pool}' not found: no marker`)
    const space = spaceIn(stats, config.pool)
    const figures = { ...unknownFigures, referenced_bytes: space?.stored_bytes ?? null, source: 'ceph df' }
    if (!space) return { capacity_bytes: null, available_bytes: null, fills: [], figures }
    const { capacity_bytes, available_bytes } = space
    return { capacity_bytes, available_bytes, fills: [{ name: 'space', capacity_bytes, available_bytes }], figures }
  },

  volumes: {
    exists: async (host, config, volume) => (await infoOf(host, config, nameOfHead(volume))) !== null,
    sourceOn: async (_host, config, volume) => sourceOf(config, nameOfHead(volume)),
    toolFile: (config, volume, secretFile) => toolFileOf(config, nameOfHead(volume), secretFile),

    async create(host, config, { name, size_bytes }, { ifExists }) {
      if (await unlessThere(rbd(host, config, ['create', specOf(config, name), '--size', `${size_bytes}B`])))
        return true
      return ifExists === 'accept' && (await infoOf(host, config, name))?.size === size_bytes
    },

    async resize(host, config, volume) {
      const image = specOf(config, nameOfHead(volume))
      const there = await infoOf(host, config, nameOfHead(volume))
      if (!there) throw new NotFoundError(`RBD image '${image}' not found`)
      if (there.size !== volume.size_bytes)
        await rbd(host, config, ['resize', image, '--size', `${volume.size_bytes}B`, '--no-progress'])
    },

    async usage(host, config, volume) {
      const said = await rbd(host, config, ['du', specOf(config, nameOfHead(volume)), '--format', 'json'])
      const { images } = JSON.parse(said) as {
        images: { snapshot?: string; provisioned_size: number; used_size: number }[]
      }
      const referenced_bytes = images.reduce((sum, { used_size }) => sum + used_size, 0)
      const logical_bytes = images.find(({ snapshot }) => snapshot === undefined)?.provisioned_size ?? null
      return { ...unknownFigures, logical_bytes, referenced_bytes, source: 'rbd du' }
    },

    async delete(host, config, volume) {
      await removeAsides(host, config, volume.name)
      await removeImage(host, config, nameOfHead(volume))
    },

    async find(host, config, source) {
      if (source.type !== 'network' || source.protocol !== 'rbd') return null
      const [pool, image = '', more] = source.name.split('/')
      if (pool !== config.pool || more !== undefined || !isValid(Name, image)) return null
      const { servers } = sourceOf(config, image) as Extract<DiskSource, { type: 'network' }>
      const isOurs = source.servers.some(({ host: each }) => servers.some((own) => own.host === each))
      if (!isOurs) return null
      const there = await infoOf(host, config, image)
      if (!there) throw new NotFoundError(`${source.name} is not on ${config.monitors.join(', ')}`)
      return { name: image, format: 'raw', size_bytes: there.size }
    },

    async list(host, config) {
      const found: VolumeSpec[] = []
      const skipped: { name: string; reason: string }[] = []
      const images = JSON.parse(await rbd(host, config, ['ls', '-l', config.pool, '--format', 'json'])) as {
        image: string
        size: number
        snapshot?: string
      }[]
      for (const { image, size, snapshot } of images) {
        if (snapshot !== undefined || image.includes('+')) continue
        if (isValid(Name, image)) found.push({ name: image, format: 'raw', size_bytes: size })
        else skipped.push({ name: image, reason: 'has a name that no volume can have' })
      }
      return { found, skipped }
    },

    copies: { dataBytes: dataBytesOf, full: copyFull, linked: copyLinked },
    snapshots: cephSnapshots,
  },
}
