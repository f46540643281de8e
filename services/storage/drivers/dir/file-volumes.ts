import { basename, dirname, extname, join } from 'node:path'
import { type DiskSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { VolumeName as Name } from '#shared/contracts/storage/volumes.ts'
import { isValid } from '#shared/contract/validate.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { markIn, removeAsides, removeFile } from '#shared/nodes/host/made-files.ts'
import { dataBytesOf } from '../../images/images.ts'
import { createImage, imageInfo, imageUsage, isSparseInCopies, resizeImage } from '../../images/qemu-img.ts'
import type { VolumeDriver, VolumeName, VolumeSpec } from '../driver.ts'
import { leasePrefix } from '#shared/contracts/vm/fencing.ts'
import { markerName } from '../marker.ts'
import { commitAside, copyFull, copyLinked, createFile, openAside } from './image-files.ts'
import { objectFolder } from './file-objects.ts'
import { fileOfVolume, isLayer } from './layer-names.ts'
import { layers } from './layers.ts'

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

/**
 * Volumes that are image files in a folder, `<name>.<format>`.
 * @param folderOf the folder on a host
 */
export function fileVolumes<K extends PoolType>(folderOf: (config: PoolConfig<K>) => string): VolumeDriver<K> {
  const fileOf = (config: PoolConfig<K>, volume: VolumeName) => join(folderOf(config), fileOfVolume(volume))

  return {
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
      const [path, folder] = [await realPath(host, source.path), await realPath(host, folderOf(config))]
      const extension = extname(path)
      const [name, format] = [basename(path, extension), extension.slice(1)]
      if (dirname(path) !== folder || !isFormat(format) || !isValid(Name, name)) return null
      if (!(await host.stat(path))) throw new NotFoundError(`${path} is not on ${host.describe()}`)
      return { name, format, size_bytes: (await imageInfo(host, path, format)).virtualSize }
    },

    async list(host, config) {
      const path = folderOf(config)
      const found: VolumeSpec[] = []
      const skipped: { name: string; reason: string }[] = []
      for (const { name: file, kind } of await host.list(path)) {
        const extension = extname(file)
        const [name, format] = [basename(file, extension), extension.slice(1)]
        if (isLayer(file) || file === objectFolder || file.startsWith(leasePrefix)) continue
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

    snapshots: layers(folderOf),

    unfinished: {
      list: async (host, config) =>
        (await host.list(folderOf(config))).flatMap(({ name }) => {
          const mark = markIn(name)
          return mark ? [{ name, operation: mark.operation }] : []
        }),
      remove: async (host, config, name) => {
        if (markIn(basename(name))) await removeFile(host, join(folderOf(config), basename(name)))
      },
    },
  }
}
