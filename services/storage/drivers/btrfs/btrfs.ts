import { basename, dirname, join } from 'node:path'
import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { VolumeName as Name } from '#shared/contracts/storage/volumes.ts'
import { isValid } from '#shared/contract/validate.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { imageAt } from '../../images/image-at.ts'
import { dataBytesOf, fileOfOriginal } from '../../images/images.ts'
import { convertImage, createImage, isSparseInCopies, punchHoles, resizeImage } from '../../images/qemu-img.ts'
import { type PoolDriver, unknownFigures, type VolumeDriver, type VolumeName, type VolumeSpec } from '../driver.ts'
import { type AsideStore, commitAside, makeAside, openAside, removeAsides } from '../asides.ts'
import { createMarker, markerName, readMarker } from '../marker.ts'
import { independentSnapshots, nameOfHead } from '../independent-snapshots.ts'
import { says, tool } from '../tool.ts'
import { btrfs as run, deleteSubvolume, sharesOf, spaceOf, uuidOf } from './subvolumes.ts'

type Config = PoolConfig<'btrfs'>

/** The file of a volume in its subvolume. */
const fileName = 'disk.raw'
const format = 'raw'

const folderOf = ({ path }: Config, volume: VolumeName) => join(path, nameOfHead(volume))
const fileOf = (config: Config, volume: VolumeName) => join(folderOf(config, volume), fileName)
const asSource = (path: string): DiskSource => ({ type: 'file', path })

/** Size of a volume; null when something else is in its place. */
async function sizeOf(host: Host, config: Config, volume: VolumeName): Promise<number | null> {
  const found = await host.stat(fileOf(config, volume))
  return found?.kind === 'file' ? found.sizeBytes : null
}

/** The things in the folder of a storage pool. */
const storeOf = (host: Host, { path }: Config): AsideStore => {
  const at = (name: string) => join(path, name)
  return {
    separator: ':',
    names: async () => ((await host.stat(path)) ? (await host.list(path)).map(({ name }) => name) : []),
    async identityOf(name) {
      if (!(await host.stat(at(name)))) return null
      return (await uuidOf(host, at(name))) ?? 'no subvolume'
    },
    async make(name, size_bytes) {
      await run(host, 'subvolume', 'create', '--', at(name))
      // QEMU may run as another user: it must be able to pass through.
      await tool(host, 'chmod', ['711', '--', at(name)])
      await host.createExclusive(join(at(name), fileName), '', { mode: 0o600 })
      await createImage(host, join(at(name), fileName), { format, size_bytes })
    },
    async rename(from, to) {
      // An empty folder would be replaced.
      if (await host.stat(at(to))) return false
      try {
        await tool(host, 'mv', ['-T', '--', at(from), at(to)])
        return true
      } catch (error) {
        if (says(error, /not empty|cannot overwrite|File exists/)) return false
        throw error
      }
    },
    remove: (name) => deleteSubvolume(host, at(name)),
  }
}

const volumes: VolumeDriver<'btrfs'> = {
  exists: async (host, config, volume) => (await host.stat(folderOf(config, volume))) !== null,

  sourceOn: async (_host, config, volume) => asSource(fileOf(config, volume)),

  async create(host, config, volume, { ifExists }) {
    if (!(await host.stat(folderOf(config, volume))))
      return makeAside(storeOf(host, config), volume, { ifExists }, async () => undefined)
    return ifExists === 'accept' && (await sizeOf(host, config, volume)) === volume.size_bytes
  },

  async resize(host, config, volume) {
    if ((await sizeOf(host, config, volume)) !== volume.size_bytes)
      await resizeImage(host, fileOf(config, volume), volume)
  },

  async usage(host, config, volume) {
    const size = await sizeOf(host, config, volume)
    if (size === null) throw new NotFoundError(`Volume '${volume.name}' is not on ${host.describe()}`)
    const { totalBytes, exclusiveBytes } = await sharesOf(host, fileOf(config, volume))
    return {
      logical_bytes: size,
      referenced_bytes: totalBytes,
      exclusive_bytes: exclusiveBytes,
      freed_if_deleted_bytes: exclusiveBytes,
      reserved_bytes: 0,
      source: 'btrfs filesystem du',
    }
  },

  async delete(host, config, volume) {
    await removeAsides(storeOf(host, config), volume.name)
    if ((await sizeOf(host, config, volume)) !== null) await deleteSubvolume(host, folderOf(config, volume))
  },

  async find(host, config, source) {
    if (source.type !== 'file') return null
    const [folder, name] = [dirname(source.path), basename(dirname(source.path))]
    if (basename(source.path) !== fileName || dirname(folder) !== config.path || !isValid(Name, name)) return null
    const size_bytes = await sizeOf(host, config, { name, format })
    if (size_bytes !== null) return { name, format, size_bytes }
    throw new NotFoundError(`${source.path} is not on ${host.describe()}`)
  },

  async list(host, config) {
    const found: VolumeSpec[] = []
    const skipped: { name: string; reason: string }[] = []
    for (const { name, kind } of await host.list(config.path)) {
      // Copies that are being made, and former heads.
      if (name.includes(':') || name === markerName) continue
      const size_bytes =
        kind === 'directory' && isValid(Name, name) ? await sizeOf(host, config, { name, format }) : null
      if (size_bytes === null) skipped.push({ name, reason: `is no subvolume with a ${fileName}` })
      else found.push({ name, format, size_bytes })
    }
    return { found, skipped }
  },

  copies: {
    dataBytes: dataBytesOf,

    async full(host, original, config, volume, copying) {
      const from = fileOfOriginal(original)
      return makeAside(storeOf(host, config), volume, copying, async (aside) => {
        const path = join(config.path, aside, fileName)
        const isReflinked = from.format === format && (await reflink(host, from.path, path, copying.signal))
        if (!isReflinked) await convertImage(host, from, { path, format }, copying)
      })
    },

    async linked(host, { volume: base }, config, volume, { ifExists }) {
      if (!base) throw new ConflictError('A linked clone lies in the storage pool of its original')
      const store = storeOf(host, config)
      const snapshot = (name: string) =>
        run(host, 'subvolume', 'snapshot', '--', folderOf(config, base), join(config.path, name))
      return makeAside({ ...store, make: snapshot }, volume, { ifExists }, async () => undefined)
    },
  },

  liveCopies: {
    bytesNeeded: ({ size_bytes }, bytes) => (isSparseInCopies(format) ? bytes : size_bytes),
    async open(host, config, volume, copy) {
      const { aside, file } = await openAside(storeOf(host, config), volume, copy)
      return { source: asSource(join(config.path, aside, fileName)), file }
    },
    async commit(host, config, volume, { source, file }) {
      const path = pathOfSource(source) ?? ''
      if (await host.stat(path)) await punchHoles(host, path, format)
      await commitAside(storeOf(host, config), volume, basename(dirname(path)), file)
    },
  },

  snapshots: independentSnapshots<'btrfs'>((host, config) => {
    const at = (name: string) => join(config.path, name)
    const { names, remove } = storeOf(host, config)
    const sizeIn = async (name: string) => (await host.stat(join(at(name), fileName)))?.sizeBytes ?? null
    return {
      separator: ':',
      names,
      sizeOf: sizeIn,
      snapshot: (from, to) => run(host, 'subvolume', 'snapshot', '-r', '--', at(from), at(to)),
      head: (from, to) => run(host, 'subvolume', 'snapshot', '--', at(from), at(to)),
      remove,
      original: async (name) => ({ source: asSource(join(at(name), fileName)), format }),
      async usage(name) {
        const { totalBytes, exclusiveBytes } = await sharesOf(host, join(at(name), fileName))
        return { held_bytes: totalBytes, freed_bytes: exclusiveBytes }
      },
    }
  }),
}

/** Copies at once, sharing blocks until they are written. */
const reflink = async (host: Host, from: string, to: string, signal: AbortSignal): Promise<boolean> =>
  (await host.run('cp', ['--reflink=always', '--', from, to], { signal })).code === 0

/** The identity of a folder: its marker, and its subvolume, because a snapshot of the folder has the same marker. */
async function identityOf(host: Host, path: string): Promise<string | null> {
  const [uuid, marker] = [await uuidOf(host, path), await readMarker(host, path)]
  return uuid !== null && marker !== null ? `${uuid}/${marker}` : null
}

/** Volumes are files in subvolumes of their own, `<name>/disk.raw`, in a folder on Btrfs. */
export const btrfs: PoolDriver<'btrfs'> = {
  nodesOf: ({ node }) => [node],
  placeOf: ({ node, path }) => `${node}:${path}`,
  capabilitiesOf: () => ({
    formats: [format],
    default_format: format,
    snapshots: true,
    linked_clones: true,
    linked_clone_format: format,
    linked_clones_pinned: false,
    live_clones: true,
    send: false,
    shared: false,
    live_resize: true,
    objects: false,
  }),

  async prepare({ host, folders }, _id, { node, path }) {
    return { node, path: await allowedPath(host, path, folders, 'path') }
  },

  async create(host, { path }) {
    await onNamedPath('path', async () => {
      if (await host.stat(path)) return
      await host.mkdir(dirname(path), { mode: 0o711 })
      await run(host, 'subvolume', 'create', '--', path)
      await tool(host, 'chmod', ['711', '--', path])
    })
    const uuid = await uuidOf(host, path)
    if (uuid === null)
      throw new ConflictError(
        `${path} on ${host.describe()} is no subvolume of Btrfs; name one, or a folder to be made`,
      )
    return `${uuid}/${await createMarker(host, path)}`
  },

  identify: (host, { path }) => identityOf(host, path),

  async remove(host, { path }) {
    const files = await host.list(path).catch((error: unknown) => {
      if (error instanceof NotFoundError) return undefined
      throw error
    })
    if (files?.every(({ name }) => name === markerName)) await deleteSubvolume(host, path)
  },

  async usage(host, { path }) {
    const { totalBytes: capacity_bytes, freeBytes: available_bytes } = await host.space(path)
    const { unallocatedBytes, metadataBytes, metadataUsedBytes } = await spaceOf(host, path)
    // Metadata grows into space that no chunk has yet.
    const metadata = metadataBytes + unallocatedBytes
    return {
      capacity_bytes,
      available_bytes,
      fills: [
        { name: 'space', capacity_bytes, available_bytes },
        { name: 'metadata', capacity_bytes: metadata, available_bytes: metadata - metadataUsedBytes },
      ],
      // The file system may hold more than the storage pool.
      figures: { ...unknownFigures, source: 'btrfs filesystem usage' },
    }
  },

  async detect(host, path) {
    const { code, stdout } = await host.run('stat', ['-f', '--printf=%T', '--', path])
    return code === 0 && stdout === 'btrfs' ? imageAt(host, path) : null
  },

  volumes,
}
