import { basename, dirname, extname, join } from 'node:path'
import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { VolumeName as Name } from '#shared/contracts/storage/volumes.ts'
import { isValid } from '#shared/contract/validate.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { markIn, removeAsides, removeFile } from '#shared/nodes/host/made-files.ts'
import { createImage, imageInfo, imageUsage, isSparseInCopies, resizeImage } from '../../images/qemu-img.ts'
import { dataBytesOf } from '../../images/images.ts'
import { imageAt } from '../../images/image-at.ts'
import { type PoolDriver, unknownFigures, type VolumeName, type VolumeSpec } from '../driver.ts'
import { createMarker, markerName, readMarker } from '../marker.ts'
import { fileOfVolume, isLayer } from './layer-names.ts'
import { layers } from './layers.ts'
import { commitAside, copyFull, copyLinked, createFile, openAside } from './image-files.ts'

type Config = PoolConfig<'dir'>

const fileOf = ({ path }: Config, volume: VolumeName) => join(path, fileOfVolume(volume))
const asSource = (path: string): DiskSource => ({ type: 'file', path })

/** True for a file that is an image of this format and size. */
async function isImageOf(host: Host, path: string, { format, size_bytes }: VolumeSpec): Promise<boolean> {
  const read = imageInfo(host, path, format).catch((error: unknown) => {
    if (error instanceof ConflictError) return null
    throw error
  })
  return (await read)?.virtualSize === size_bytes
}

/** The path without links; as it is when nothing is there. */
const realPath = (host: Host, path: string) =>
  host.realpath(path).catch((error: unknown) => {
    if (error instanceof NotFoundError) return path
    throw error
  })

const isFormat = (text: string): text is VolumeFormat => isValid(VolumeFormat, text)

/** Volumes are image files in a folder, `<name>.<format>`. */
export const dir: PoolDriver<'dir'> = {
  nodesOf: ({ node }) => [node],
  placeOf: ({ node, path }) => `${node}:${path}`,
  capabilitiesOf: () => ({
    formats: ['qcow2', 'raw'],
    default_format: 'qcow2',
    snapshots: true,
    linked_clones: true,
    linked_clone_format: 'qcow2',
    linked_clones_pinned: true,
    live_clones: true,
    send: false,
    shared: false,
    live_resize: true,
  }),

  async prepare({ host, folders }, id, { node, path = `${folders.state_dir}/pools/${id}` }) {
    return { node, path: await allowedPath(host, path, folders, 'path') }
  },

  async create(host, { path }) {
    await onNamedPath('path', async () => {
      const there = await host.stat(path)
      if (there && there.kind !== 'directory')
        throw new ConflictError(`${path} on ${host.describe()} is a ${there.kind}, not a folder`)
      // QEMU may run as another user: it must be able to pass through.
      await host.mkdir(path, { mode: 0o711 })
    })
    return createMarker(host, path)
  },

  identify: (host, { path }) => readMarker(host, path),

  async remove(host, { path }) {
    const files = await host.list(path).catch((error: unknown) => {
      if (error instanceof NotFoundError) return undefined
      throw error
    })
    if (files?.every(({ name }) => name === markerName)) await host.remove(path, { recursive: true })
  },

  async usage(host, { path }) {
    const { totalBytes: capacity_bytes, freeBytes: available_bytes } = await host.space(path)
    return {
      capacity_bytes,
      available_bytes,
      fills: [{ name: 'space', capacity_bytes, available_bytes }],
      // The file system may hold more than the storage pool.
      figures: { ...unknownFigures, source: 'statfs' },
    }
  },

  detect: imageAt,

  volumes: {
    exists: async (host, config, volume) => (await host.stat(fileOf(config, volume))) !== null,

    sourceOn: async (_host, config, volume) => asSource(fileOf(config, volume)),

    async create(host, config, volume, how) {
      const path = fileOf(config, volume)
      if (how.ifExists === 'accept' && (await host.stat(path))) return isImageOf(host, path, volume)
      return createFile(host, path, { ifExists: 'refuse' }, (aside) => createImage(host, aside, volume))
    },

    async resize(host, config, volume) {
      const path = fileOf(config, volume)
      if ((await imageInfo(host, path, volume.format)).virtualSize !== volume.size_bytes)
        await resizeImage(host, path, volume)
    },

    async usage(host, config, volume) {
      const path = fileOf(config, volume)
      if (!(await host.stat(path))) throw new NotFoundError(`${path} is not on ${host.describe()}`)
      return imageUsage(host, path, volume.format)
    },

    async delete(host, config, volume) {
      const path = fileOf(config, volume)
      await removeAsides(host, path)
      await removeFile(host, path)
    },

    async find(host, config, source) {
      if (source.type !== 'file') return null
      const [path, folder] = [await realPath(host, source.path), await realPath(host, config.path)]
      const extension = extname(path)
      const [name, format] = [basename(path, extension), extension.slice(1)]
      if (dirname(path) !== folder || !isFormat(format) || !isValid(Name, name)) return null
      if (!(await host.stat(path))) throw new NotFoundError(`${path} is not on ${host.describe()}`)
      return { name, format, size_bytes: (await imageInfo(host, path, format)).virtualSize }
    },

    async list(host, { path }) {
      const found: VolumeSpec[] = []
      const skipped: { name: string; reason: string }[] = []
      for (const { name: file, kind } of await host.list(path)) {
        const extension = extname(file)
        const [name, format] = [basename(file, extension), extension.slice(1)]
        if (isLayer(file)) continue
        if (!isFormat(format)) {
          // Copies that are being made.
          if (format !== 'new' && file !== markerName)
            skipped.push({ name: file, reason: 'ends neither in .qcow2 nor in .raw' })
        } else if (kind !== 'file') skipped.push({ name: file, reason: `is a ${kind}, not a file` })
        else if (!isValid(Name, name)) skipped.push({ name: file, reason: 'has a name that no volume can have' })
        else {
          const info = await imageInfo(host, join(path, file), format).catch((error: unknown) => {
            if (!(error instanceof ConflictError)) throw error
            skipped.push({ name: file, reason: error.message })
          })
          if (info) found.push({ name, format, size_bytes: info.virtualSize })
        }
      }
      return { found, skipped }
    },

    copies: {
      dataBytes: dataBytesOf,
      full: (host, original, config, volume, copying) =>
        copyFull(host, original, { path: fileOf(config, volume), format: volume.format }, copying),
      linked: (host, original, config, volume, how) =>
        copyLinked(host, original, { path: fileOf(config, volume), format: volume.format }, how),
    },

    liveCopies: {
      bytesNeeded: ({ format, size_bytes }, dataBytes) => (isSparseInCopies(format) ? dataBytes : size_bytes),
      open: async (host, config, volume, copy) => {
        const write = (aside: string) => createImage(host, aside, volume)
        const { path, file } = await openAside(host, fileOf(config, volume), copy, write)
        return { source: asSource(path), file }
      },
      commit: (host, config, volume, { source, file }) =>
        commitAside(host, { ...volume, path: fileOf(config, volume) }, { path: pathOfSource(source) ?? '', file }),
    },

    snapshots: layers(({ path }) => path),

    unfinished: {
      list: async (host, { path }) =>
        (await host.list(path)).flatMap(({ name }) => {
          const mark = markIn(name)
          return mark ? [{ name, operation: mark.operation }] : []
        }),
      remove: async (host, { path }, name) => {
        if (markIn(basename(name))) await removeFile(host, join(path, basename(name)))
      },
    },
  },
}
