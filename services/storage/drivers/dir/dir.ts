import { basename, dirname, extname, join } from 'node:path'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { VolumeName } from '#shared/contracts/storage/volumes.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { isValid } from '#shared/contract/validate.ts'
import { cloneFull, cloneLinked, createEmpty, openAside, placeAside, removeAsides } from './clone.ts'
import type { PoolDriver, PoolPlace, VolumeSpec } from '../driver.ts'
import { dataBytes, imageInfo, qemuImg } from '../../images/qemu-img.ts'

const pathOf = ({ path }: PoolPlace, { name, format }: Pick<VolumeSpec, 'name' | 'format'>) =>
  join(path, `${name}.${format}`)

/** Whether a file can be read as an image of this format and size. */
async function isImageOf(host: Host, path: string, { format, size_bytes }: VolumeSpec): Promise<boolean> {
  const read = imageInfo(host, path, format).catch((error: unknown) => {
    if (error instanceof ConflictError) return null
    throw error
  })
  return (await read)?.virtualSize === size_bytes
}

const isFormat = (text: string): text is VolumeFormat => isValid(VolumeFormat, text)

/** Volumes as image files in a folder: `<name>.qcow2`, `<name>.raw`. */
export const dir: PoolDriver = {
  capabilities: {
    formats: ['qcow2', 'raw'],
    snapshots: false,
    linked_clones: true,
    linked_clone_format: 'qcow2',
    live_clones: true,
    send: false,
    shared: false,
    live_resize: true,
  },

  async create(host, { path }) {
    const there = await host.stat(path)
    if (there && there.kind !== 'directory')
      throw new ConflictError(`${path} on ${host.describe()} is a ${there.kind}, not a folder`)
    // QEMU may run as another user: it must be able to pass through.
    await host.mkdir(path, { mode: 0o711 })
  },

  async remove(host, { path }) {
    const files = await host.list(path).catch((error: unknown) => {
      if (error instanceof NotFoundError) return undefined
      throw error
    })
    if (files?.length === 0) await host.remove(path, { recursive: true })
  },

  async usage(host, { path }) {
    const { totalBytes, freeBytes } = await host.space(path)
    return { capacity_bytes: totalBytes, available_bytes: freeBytes }
  },

  pathOf,

  async createVolume(host, pool, volume, { again }) {
    const path = pathOf(pool, volume)
    if (again && (await host.stat(path))) return isImageOf(host, path, volume)
    return createEmpty(host, { ...volume, path, again: false })
  },

  async volumeAt(host, pool, path) {
    const extension = extname(path)
    const [name, format] = [basename(path, extension), extension.slice(1)]
    if (dirname(path) !== pool.path || !isFormat(format) || !isValid(VolumeName, name)) return null
    if (!(await host.stat(path))) throw new NotFoundError(`${path} is not on ${host.describe()}`)
    return { name, format, size_bytes: (await imageInfo(host, path, format)).virtualSize }
  },

  async resizeVolume(host, pool, volume) {
    const { format, size_bytes } = volume
    const path = pathOf(pool, volume)
    if ((await imageInfo(host, path, format)).virtualSize !== size_bytes)
      await qemuImg(host, ['resize', '-q', '-f', format, path, String(size_bytes)])
  },

  async deleteVolume(host, pool, volume) {
    const path = pathOf(pool, volume)
    await removeAsides(host, path)
    await host.remove(path)
  },

  clone: {
    dataBytes: (host, { path, format }) => dataBytes(host, path, format),
    full: (host, source, pool, volume, copying) =>
      cloneFull(host, source, { path: pathOf(pool, volume), format: volume.format, again: copying.again }, copying),
    linked: (host, source, pool, volume, { again }) =>
      cloneLinked(host, source, { path: pathOf(pool, volume), format: volume.format, again }),
    receive: {
      open: (host, pool, volume, copy) => openAside(host, { ...volume, path: pathOf(pool, volume) }, copy),
      place: (host, pool, volume, copy) => placeAside(host, { ...volume, path: pathOf(pool, volume) }, copy),
    },
  },
}
