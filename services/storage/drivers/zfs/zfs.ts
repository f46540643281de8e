import { basename } from 'node:path'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { VolumeName as Name } from '#shared/contracts/storage/volumes.ts'
import { isValid } from '#shared/contract/validate.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { convertImage } from '../../images/qemu-img.ts'
import { dataBytesOf, fileOfOriginal } from '../../images/images.ts'
import type { IfExists, Original, PoolDriver, VolumeDriver, VolumeName, VolumeSpec } from '../driver.ts'
import { nameOfHead } from '../independent-snapshots.ts'
import { says, tool, whileBusy } from '../tool.ts'
import { type AsideStore, commitAside, makeAside, openAside, removeAsides } from '../asides.ts'
import {
  childrenOf,
  createVolume,
  destroy,
  destroyVolume,
  mark,
  propertiesOf,
  requireProperties,
  snapshotsOf,
  zfs as run,
  zfsIfThere,
} from './datasets.ts'
import { tidy, zfsSnapshots } from './snapshots.ts'
import { datasetAt, linkDevice, linkOf, unlinkDevice } from './devices.ts'

type Config = PoolConfig<'zfs'>

const datasetIn = ({ dataset }: Config, volume: VolumeName): string => `${dataset}/${nameOfHead(volume)}`

/** zfs rounds the size of a volume up to whole blocks. */
const isSizeOf = (volsize: number, { size_bytes }: VolumeSpec) =>
  volsize >= size_bytes && volsize - size_bytes < 2 ** 20

/** True for a volume of this size. */
async function isVolumeOf(host: Host, config: Config, volume: VolumeSpec): Promise<boolean> {
  const found = await propertiesOf(host, datasetIn(config, volume), ['type', 'volsize'])
  return found?.type === 'volume' && isSizeOf(Number(found.volsize), volume)
}

/** The datasets below that of a storage pool. */
const storeOf = (host: Host, config: Config): AsideStore => {
  const at = (name: string) => `${config.dataset}/${name}`
  return {
    separator: ':',
    names: async () =>
      (await propertiesOf(host, config.dataset, ['type']))
        ? (await childrenOf(host, config.dataset)).map(({ name }) => name)
        : [],
    identityOf: async (name) => (await propertiesOf(host, at(name), ['guid']))?.guid ?? null,
    async make(name, size_bytes) {
      await createVolume(host, config, at(name), size_bytes)
      await linkDevice(host, at(name))
    },
    async rename(from, to) {
      try {
        await whileBusy(() => run(host, 'rename', at(from), at(to)))
      } catch (error) {
        if (says(error, /already exists/)) return false
        throw error
      }
      await unlinkDevice(host, at(from))
      await linkDevice(host, at(to))
      return true
    },
    async remove(name) {
      await destroyVolume(host, at(name))
      await unlinkDevice(host, at(name))
    },
  }
}

/** Makes a volume whose unwritten blocks are those of another one as it is now. */
async function link(
  host: Host,
  { volume: base }: Original,
  config: Config,
  volume: VolumeSpec,
  { ifExists }: IfExists,
): Promise<boolean> {
  if (!base) throw new ConflictError('A linked clone lies in the storage pool of its original')
  const [from, to] = [datasetIn(config, base), datasetIn(config, volume)]
  const snapshot = `${from}@clone:${volume.name}`
  const there = await propertiesOf(host, to, ['origin'])
  if (there) {
    if (ifExists === 'refuse' || there.origin !== snapshot) return false
  } else {
    const left = (await snapshotsOf(host, from)).find(({ name }) => name === snapshot)
    // Of a clone that was deleted; its content may be older.
    if (left?.ours === 'clone' && left.clones.length === 0) await destroy(host, snapshot)
    await run(host, 'snapshot', '-o', `${mark}=clone`, snapshot)
    await run(host, 'clone', snapshot, to)
  }
  await linkDevice(host, to)
  return true
}

const volumes: VolumeDriver<'zfs'> = {
  exists: async (host, config, volume) => (await propertiesOf(host, datasetIn(config, volume), ['type'])) !== null,

  sourceOn: async (_host, config, volume) => ({ type: 'block', path: linkOf(datasetIn(config, volume)) }),

  activate: (host, config, volume) => linkDevice(host, datasetIn(config, volume)),

  async create(host, config, volume, { ifExists }) {
    const dataset = datasetIn(config, volume)
    const there = await propertiesOf(host, dataset, ['type'])
    if (there && (ifExists === 'refuse' || !(await isVolumeOf(host, config, volume)))) return false
    if (!there) await createVolume(host, config, dataset, volume.size_bytes)
    await linkDevice(host, dataset)
    return true
  },

  async resize(host, config, volume) {
    if (await isVolumeOf(host, config, volume)) return
    await run(host, 'set', `volsize=${volume.size_bytes}`, datasetIn(config, volume))
  },

  async usage(host, config, volume) {
    const names = ['volsize', 'referenced', 'written', 'used', 'usedbyrefreservation'] as const
    const found = await requireProperties(host, datasetIn(config, volume), names)
    return {
      logical_bytes: Number(found.volsize),
      referenced_bytes: Number(found.referenced),
      // Since its newest snapshot, or since the snapshot that it is a clone of.
      exclusive_bytes: Number(found.written),
      freed_if_deleted_bytes: Number(found.used),
      reserved_bytes: Number(found.usedbyrefreservation),
      source: 'zfs get',
    }
  },

  async delete(host, config, volume) {
    const store = storeOf(host, config)
    await removeAsides(store, volume.name)
    await store.remove(nameOfHead(volume))
    await tidy(host, config, volume)
  },

  async find(host, config, source) {
    if (source.type === 'network') return null
    const dataset = await datasetAt(host, source.path)
    if (!dataset?.startsWith(`${config.dataset}/`)) return null
    const name = dataset.slice(config.dataset.length + 1)
    if (!isValid(Name, name)) return null
    const found = await propertiesOf(host, dataset, ['type', 'volsize'])
    if (found?.type === 'volume') return { name, format: 'raw', size_bytes: Number(found.volsize) }
    throw new NotFoundError(`The volume ${dataset} is not on ${host.describe()}`)
  },

  async list(host, { dataset }) {
    const found: VolumeSpec[] = []
    const skipped: { name: string; reason: string }[] = []
    for (const { name, type, size } of await childrenOf(host, dataset)) {
      // Copies that are being made, and former heads.
      if (name.includes(':')) continue
      if (type !== 'volume') skipped.push({ name, reason: `is a ${type}, not a volume` })
      else if (!isValid(Name, name)) skipped.push({ name, reason: 'has a name that no volume can have' })
      else found.push({ name, format: 'raw', size_bytes: size })
    }
    return { found, skipped }
  },

  copies: {
    dataBytes: dataBytesOf,
    async full(host, original, config, volume, copying) {
      const from = fileOfOriginal(original)
      return makeAside(storeOf(host, config), volume, copying, (aside) => {
        const to = { path: linkOf(`${config.dataset}/${aside}`), format: volume.format, isThere: true }
        return convertImage(host, from, to, copying)
      })
    },
    linked: link,
  },

  liveCopies: {
    // A hypervisor writes zeros out, and a dataset may have no compression, which would leave them out.
    bytesNeeded: ({ size_bytes }) => size_bytes,
    async open(host, config, volume, copy) {
      const { aside, file } = await openAside(storeOf(host, config), volume, copy)
      return { source: { type: 'block', path: linkOf(`${config.dataset}/${aside}`) }, file }
    },
    commit: (host, config, volume, { source, file }) =>
      commitAside(storeOf(host, config), volume, basename(pathOfSource(source) ?? ''), file),
  },

  snapshots: zfsSnapshots,
}

/** Volumes of ZFS (zvols) below a dataset. */
export const zfs: PoolDriver<'zfs'> = {
  nodesOf: ({ node }) => [node],
  placeOf: ({ node, dataset }) => `${node}:zfs:${dataset}`,
  capabilitiesOf: () => ({
    formats: ['raw'],
    default_format: 'raw',
    snapshots: true,
    linked_clones: true,
    linked_clone_format: 'raw',
    linked_clones_pinned: true,
    live_clones: true,
    send: false,
    shared: false,
    live_resize: true,
    objects: false,
  }),

  prepare: ({ host }, _id, { node, dataset, thin = true }) =>
    requireProperties(host, dataset.split('/')[0]!, ['type']).then(() => ({ node, dataset, thin })),

  async create(host, { dataset }) {
    const there = await propertiesOf(host, dataset, ['type', 'guid'])
    if (there && there.type !== 'filesystem')
      throw new ConflictError(`${dataset} on ${host.describe()} is a ${there.type}, not a dataset for volumes`)
    if (there) return there.guid
    // Nobody can put files into it: it is never mounted.
    await run(host, 'create', '-p', '-o', 'mountpoint=none', '-o', 'canmount=off', '-o', `${mark}=pool`, dataset)
    return (await requireProperties(host, dataset, ['guid'])).guid
  },

  identify: async (host, { dataset }) => (await requireProperties(host, dataset, ['guid'])).guid,

  async remove(host, { dataset }) {
    const there = await propertiesOf(host, dataset, [mark, 'mounted'])
    // Only one that we have made, and with nothing in it.
    if (there?.[mark] !== 'pool' || there.mounted === 'yes' || (await childrenOf(host, dataset)).length > 0) return
    await zfsIfThere(host, 'destroy', dataset).catch((error: unknown) => {
      if (!says(error, /has children/)) throw error
    })
  },

  async usage(host, { dataset }) {
    const names = ['used', 'available', 'logicalused', 'quota', 'reservation'] as const
    const found = await requireProperties(host, dataset, names)
    const [used, available_bytes] = [Number(found.used), Number(found.available)]
    const capacity_bytes = used + available_bytes
    // `zpool list` counts bytes as free that nobody can write.
    const health = (await tool(host, 'zpool', ['list', '-H', '-o', 'health', dataset.split('/')[0]!])).trim()
    return {
      capacity_bytes,
      available_bytes,
      fills: [{ name: Number(found.quota) > 0 ? 'quota' : 'space', capacity_bytes, available_bytes }],
      figures: {
        logical_bytes: Number(found.logicalused),
        referenced_bytes: used,
        exclusive_bytes: used,
        freed_if_deleted_bytes: used,
        reserved_bytes: Number(found.reservation),
        source: 'zfs get',
      },
      ...(health !== 'ONLINE' && { trouble: `zpool is ${health}` }),
    }
  },

  async detect(host, path) {
    const dataset = await datasetAt(host, path)
    const found = dataset === null ? null : await propertiesOf(host, dataset, ['type', 'volsize'])
    return found?.type === 'volume' ? { format: 'raw', size_bytes: Number(found.volsize) } : null
  },

  volumes,
}
