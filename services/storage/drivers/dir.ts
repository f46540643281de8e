import { basename, dirname, extname, join } from 'node:path'
import { isValid } from '#shared/validate.ts'
import { VolumeFormat } from '#shared/contracts/pools.ts'
import { VolumeName } from '#shared/contracts/volumes.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import { CommandError } from '#shared/host/errors.ts'
import type { Host } from '#shared/host/host.ts'
import type { PoolDriver, PoolPlace, VolumeSpec } from './driver.ts'

const pathOf = ({ path }: PoolPlace, { name, format }: Pick<VolumeSpec, 'name' | 'format'>) =>
  join(path, `${name}.${format}`)

/** Runs qemu-img; what it refuses is a conflict, in its own words. */
async function qemuImg(host: Host, ...args: string[]): Promise<string> {
  try {
    return (await host.runChecked('qemu-img', args)).stdout
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    if (/No space left/i.test(error.stderr))
      throw new UnavailableError(`${host.describe()}: no space left on the device`, { cause: error })
    throw new ConflictError(`qemu-img on ${host.describe()}: ${error.stderr}`, { cause: error })
  }
}

/** The size that a guest sees of an image, bytes. */
export async function sizeOf(host: Host, path: string, format: string): Promise<number> {
  const info = JSON.parse(await qemuImg(host, 'info', '-U', '--output=json', '-f', format, path)) as {
    'virtual-size': number
  }
  return info['virtual-size']
}

const isFormat = (text: string): text is VolumeFormat => isValid(VolumeFormat, text)

/** Volumes as image files in a folder: `<name>.qcow2`, `<name>.raw`. */
export const dir: PoolDriver = {
  capabilities: {
    formats: ['qcow2', 'raw'],
    snapshots: false,
    linked_clones: false,
    send: false,
    shared: false,
    live_resize: false,
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

  async createVolume(host, pool, volume) {
    const { format, size_bytes } = volume
    const path = pathOf(pool, volume)
    if (await host.stat(path)) {
      const size = await sizeOf(host, path, format)
      if (size === size_bytes) return
      throw new ConflictError(`${path} is there already, with ${size} bytes`)
    }
    const aside = `${path}.new`
    const options = format === 'qcow2' ? ['-o', 'lazy_refcounts=on,cluster_size=65536'] : []
    await qemuImg(host, 'create', '-q', '-f', format, ...options, aside, String(size_bytes))
    await host.rename(aside, path)
  },

  async volumeAt(host, pool, path) {
    const extension = extname(path)
    const [name, format] = [basename(path, extension), extension.slice(1)]
    if (dirname(path) !== pool.path || !isFormat(format) || !isValid(VolumeName, name)) return null
    if (!(await host.stat(path))) throw new NotFoundError(`${path} is not on ${host.describe()}`)
    return { name, format, size_bytes: await sizeOf(host, path, format) }
  },

  async resizeVolume(host, pool, volume) {
    const { format, size_bytes } = volume
    const path = pathOf(pool, volume)
    if ((await sizeOf(host, path, format)) !== size_bytes)
      await qemuImg(host, 'resize', '-q', '-f', format, path, String(size_bytes))
  },

  async deleteVolume(host, pool, volume) {
    const path = pathOf(pool, volume)
    await host.remove(`${path}.new`)
    await host.remove(path)
  },
}
