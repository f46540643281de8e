import { basename, dirname } from 'node:path'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { VolumeName as Name } from '#shared/contracts/storage/volumes.ts'
import { isValid } from '#shared/contract/validate.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { dataBytesOf, fileOfOriginal } from '../../images/images.ts'
import { convertImage } from '../../images/qemu-img.ts'
import type { Fill, PoolDriver, VolumeDriver, VolumeName, VolumeSpec } from '../driver.ts'
import { type AsideStore, commitAside, makeAside, openAside, removeAsides } from '../asides.ts'
import { independentSnapshots, nameOfHead, type SnapshotStore } from '../independent-snapshots.ts'
import { says, tool } from '../tool.ts'
import {
  activate,
  createThin,
  findVolume,
  freeze,
  type LogicalVolume,
  pathOf,
  remove,
  rename,
  requireThinPool,
  snapshot,
  volumesOf,
} from './logical-volumes.ts'

type Config = PoolConfig<'lvm'>

const find = (host: Host, { volume_group }: Config, volume: VolumeName) =>
  findVolume(host, volume_group, nameOfHead(volume))

/** LVM rounds the size of a volume up to whole extents. */
const largestExtent = 2 ** 30
const isOf = (found: LogicalVolume, { thin_pool }: Config, { size_bytes }: VolumeSpec) =>
  found.thinPool === thin_pool && found.sizeBytes >= size_bytes && found.sizeBytes - size_bytes < largestExtent

/** The volumes of a volume group. */
const storeOf = (host: Host, { volume_group: group, thin_pool }: Config): AsideStore => ({
  separator: '+',
  names: async () => (await volumesOf(host, group)).map(({ name }) => name),
  identityOf: async (name) => (await findVolume(host, group, name))?.uuid ?? null,
  make: (name, size_bytes) => createThin(host, group, thin_pool, name, size_bytes),
  rename: (from, to) => rename(host, group, from, to),
  async remove(name) {
    const found = await findVolume(host, group, name)
    if (found?.thinPool === thin_pool) await remove(host, group, name)
  },
})

const volumes: VolumeDriver<'lvm'> = {
  exists: async (host, config, volume) => (await find(host, config, volume)) !== null,

  sourceOn: async (_host, { volume_group }, volume) => ({
    type: 'block',
    path: pathOf(volume_group, nameOfHead(volume)),
  }),

  async activate(host, { volume_group }, volume) {
    await activate(host, volume_group, nameOfHead(volume))
  },

  async create(host, config, volume, { ifExists }) {
    const there = await find(host, config, volume)
    if (there && (ifExists === 'refuse' || !isOf(there, config, volume))) return false
    if (there) await activate(host, config.volume_group, volume.name)
    else await createThin(host, config.volume_group, config.thin_pool, volume.name, volume.size_bytes)
    return true
  },

  async resize(host, config, volume) {
    const there = await find(host, config, volume)
    if (there && there.sizeBytes >= volume.size_bytes) return
    await tool(host, 'lvextend', ['-qq', '-L', `${volume.size_bytes}b`, `${config.volume_group}/${nameOfHead(volume)}`])
  },

  async usage(host, config, volume) {
    const found = await find(host, config, volume)
    if (!found) throw new NotFoundError(`Volume '${volume.name}' is not on ${host.describe()}`)
    return {
      logical_bytes: found.sizeBytes,
      // lvs rounds to hundredths: never told as fewer than there are.
      referenced_bytes: Math.ceil((found.sizeBytes * (found.dataPercent + 0.005)) / 100),
      // Only a scan of the metadata would tell them.
      exclusive_bytes: null,
      freed_if_deleted_bytes: null,
      reserved_bytes: 0,
      source: 'lvs',
    }
  },

  async delete(host, config, volume) {
    const store = storeOf(host, config)
    await removeAsides(store, volume.name)
    await store.remove(nameOfHead(volume))
  },

  async find(host, config, source) {
    if (source.type === 'network') return null
    const { volume_group: group, thin_pool } = config
    const name = nameIn(source.path, group) ?? (await nameOfDevice(host, source.path, group))
    if (name === null || !isValid(Name, name)) return null
    const found = await find(host, config, { name, format: 'raw' })
    if (!found) throw new NotFoundError(`The volume ${group}/${name} is not on ${host.describe()}`)
    return found.thinPool === thin_pool ? { name, format: 'raw', size_bytes: found.sizeBytes } : null
  },

  async list(host, { volume_group, thin_pool }) {
    const inPool = (await volumesOf(host, volume_group)).filter(({ thinPool }) => thinPool === thin_pool)
    const named = inPool.filter(({ name }) => !name.includes('+'))
    const isName = ({ name }: LogicalVolume) => isValid(Name, name)
    return {
      found: named.filter(isName).map(({ name, sizeBytes }) => ({ name, format: 'raw', size_bytes: sizeBytes })),
      skipped: named
        .filter((one) => !isName(one))
        .map(({ name }) => ({ name, reason: 'has a name that no volume can have' })),
    }
  },

  copies: {
    dataBytes: dataBytesOf,

    async full(host, original, config, volume, copying) {
      const from = fileOfOriginal(original)
      return makeAside(storeOf(host, config), volume, copying, (aside) => {
        const to = { path: pathOf(config.volume_group, aside), format: volume.format, isThere: true }
        return convertImage(host, from, to, copying)
      })
    },

    async linked(host, { volume: base }, config, volume, { ifExists }) {
      if (!base) throw new ConflictError('A linked clone lies in the storage pool of its original')
      const there = await find(host, config, volume)
      if (there) return ifExists === 'accept' && there.origin === nameOfHead(base)
      await snapshot(host, config.volume_group, nameOfHead(base), volume.name)
      return true
    },
  },

  liveCopies: {
    // A hypervisor writes zeros out, for which a thin pool takes space.
    bytesNeeded: ({ size_bytes }) => size_bytes,
    async open(host, config, volume, copy) {
      const { aside, file } = await openAside(storeOf(host, config), volume, copy)
      return { source: { type: 'block', path: pathOf(config.volume_group, aside) }, file }
    },
    commit: (host, config, volume, { source, file }) =>
      commitAside(storeOf(host, config), volume, basename(pathOfSource(source) ?? ''), file),
  },

  // The storage is a parameter: it is asked only when a verb is called.
  snapshots: independentSnapshots<'lvm'>((host, config) => snapshotsOf(host, config)),
}

/** Snapshots are thin volumes that are not activated by themselves, and only read. */
const snapshotsOf = (host: Host, config: Config): SnapshotStore => {
  const { volume_group: group } = config
  const { names, remove: removeOurs } = storeOf(host, config)
  return {
    separator: '+',
    names,
    sizeOf: async (name) => (await findVolume(host, group, name))?.sizeBytes ?? null,
    snapshot: (from, to) => freeze(host, group, from, to),
    head: (from, to) => snapshot(host, group, from, to),
    remove: removeOurs,
    async original(name) {
      await activate(host, group, name)
      return { source: { type: 'block', path: pathOf(group, name) }, format: 'raw' }
    },
    // Only a scan of the metadata would tell them.
    usage: async () => ({ held_bytes: null, freed_bytes: null }),
  }
}

/** The volume of a group in a path of LVM's own; null for other paths. */
const nameIn = (path: string, group: string): string | null =>
  dirname(path) === `/dev/${group}` ? basename(path) : null

/** The volume of a group that a device is, such as `/dev/dm-3` or `/dev/mapper/vg-name`. */
async function nameOfDevice(host: Host, path: string, group: string): Promise<string | null> {
  if (!/^\/dev\/(dm-\d+|mapper\/[^/]+)$/.test(path)) return null
  const args = ['--noheadings', '-o', 'vg_name,lv_name', '--separator', '/', path]
  const { code, stdout } = await host.run('lvs', args)
  const [found, name] = stdout.trim().split('/')
  return code === 0 && found === group && name ? name : null
}

const identityOf = ({ groupUuid, uuid }: LogicalVolume): string => `${groupUuid}/${uuid}`

const ourTag = 'horcrux.pool'

/** Thin volumes of LVM in a thin pool of a volume group. */
export const lvm: PoolDriver<'lvm'> = {
  nodesOf: ({ node }) => [node],
  placeOf: ({ node, volume_group, thin_pool }) => `${node}:lvm:${volume_group}/${thin_pool}`,
  capabilitiesOf: () => ({
    formats: ['raw'],
    default_format: 'raw',
    snapshots: true,
    linked_clones: true,
    linked_clone_format: 'raw',
    linked_clones_pinned: false,
    live_clones: true,
    send: false,
    shared: false,
    live_resize: true,
    objects: false,
  }),

  async prepare({ host }, _id, { node, volume_group, thin_pool, size }) {
    await volumesOf(host, volume_group)
    return { node, volume_group, thin_pool, ...(size !== undefined && { size }) }
  },

  async create(host, { volume_group, thin_pool, size }) {
    const name = `${volume_group}/${thin_pool}`
    const there = await findVolume(host, volume_group, thin_pool)
    if (there && there.type !== 't')
      throw new ConflictError(`${name} on ${host.describe()} is a volume, not a thin pool`)
    if (!there) {
      if (size === undefined)
        throw new ConflictError(
          `${name} is not on ${host.describe()}: give the size of the thin pool that is to be made`,
        )
      const tag = ['--addtag', ourTag]
      await tool(host, 'lvcreate', ['-qq', '-y', '-T', ...tag, '-L', `${size}b`, '-Zy', name])
    }
    // A full thin pool answers writes with an error, which pauses a guest; by default it holds them for a minute or for ever.
    await tool(host, 'lvchange', ['-qq', '--errorwhenfull', 'y', name]).catch((error: unknown) => {
      if (!says(error, /already/)) throw error
    })
    return identityOf(await requireThinPool(host, volume_group, thin_pool))
  },

  identify: async (host, { volume_group, thin_pool }) =>
    identityOf(await requireThinPool(host, volume_group, thin_pool)),

  async remove(host, { volume_group, thin_pool }) {
    const all = await volumesOf(host, volume_group).catch((error: unknown) => {
      if (error instanceof NotFoundError) return []
      throw error
    })
    const there = all.find(({ name }) => name === thin_pool)
    // Only one that we have made, and with nothing in it.
    if (!there?.tags.includes(ourTag) || all.some(({ thinPool }) => thinPool === thin_pool)) return
    await remove(host, volume_group, thin_pool)
  },

  async usage(host, { volume_group, thin_pool }) {
    const pool = await requireThinPool(host, volume_group, thin_pool)
    const all = await volumesOf(host, volume_group)
    const fillOf = (name: Fill['name'], capacity_bytes: number, percent: number): Fill => ({
      name,
      capacity_bytes,
      available_bytes: Math.round(capacity_bytes * (1 - percent / 100)),
    })
    const data = fillOf('data', pool.sizeBytes, pool.dataPercent)
    const used = pool.sizeBytes - data.available_bytes
    const logical = all.filter(({ thinPool }) => thinPool === thin_pool).reduce((sum, one) => sum + one.sizeBytes, 0)
    return {
      capacity_bytes: pool.sizeBytes,
      available_bytes: data.available_bytes,
      fills: [data, fillOf('metadata', pool.metadataBytes, pool.metadataPercent)],
      figures: {
        logical_bytes: logical,
        referenced_bytes: used,
        exclusive_bytes: used,
        freed_if_deleted_bytes: used,
        reserved_bytes: 0,
        source: 'lvs',
      },
      ...(pool.trouble !== '' && { trouble: `the thin pool is ${pool.trouble}` }),
    }
  },

  async detect(host, path) {
    if (!path.startsWith('/dev/')) return null
    const args = ['--noheadings', '--units', 'b', '--nosuffix', '-o', 'lv_size', path]
    const { code, stdout } = await host.run('lvs', args)
    return code === 0 && stdout.trim() !== '' ? { format: 'raw', size_bytes: Number(stdout) } : null
  },

  volumes,
}
