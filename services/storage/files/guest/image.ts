import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { UnavailableError } from '#shared/errors.ts'
import { cpio, type CpioEntry } from '#shared/nodes/guest-image/cpio.ts'
import { findBusybox, findKernel } from '#shared/nodes/guest-image/kernel.ts'
import { loadOrder } from '#shared/nodes/guest-image/modules.ts'
import { programFiles } from '#shared/nodes/guest-image/programs.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { init, load, moduleSets, openVolume, scan } from './init.ts'

/** Paths of the parts that QEMU boots, readable by all. */
export type GuestImage = { kernel: string; initrd: string }

/** Programs of the host that the guest has. `lvm` is left out where it is missing. */
const needed = ['find', 'tar', 'dd', 'blkid']
const optional = ['lvm']

/** Differs when an initrd of the same kernel would. */
const recipe = createHash('sha256')
  .update(JSON.stringify([init, load, scan, openVolume, moduleSets, needed, optional]))
  .digest('hex')
  .slice(0, 12)

const folder = (path: string): CpioEntry => ({ path, mode: 0o040755 })
const program = (path: string, data: string | Buffer): CpioEntry => ({ path, mode: 0o100755, data })

async function toolFiles(host: Host): Promise<CpioEntry[]> {
  const found = await Promise.all(
    [...needed, ...optional].map(async (name) => ({ name, from: await host.which(name) })),
  )
  const missing = found.filter(({ name, from }) => from === null && needed.includes(name)).map(({ name }) => name)
  if (missing.length > 0) throw new UnavailableError(`${host.describe()} has no ${missing.join(', ')}`)
  return programFiles(
    host,
    found.flatMap(({ name, from }) => (from === null ? [] : [{ path: `tools/${name}`, from }])),
  )
}

async function moduleFiles(host: Host, modulesFolder: string): Promise<CpioEntry[]> {
  const files = new Map<string, Buffer>()
  const orders: CpioEntry[] = []
  for (const [name, wanted] of Object.entries(moduleSets)) {
    const modules = await loadOrder(host, modulesFolder, [...wanted])
    for (const { file, data } of modules) files.set(file, data)
    orders.push(program(`modules/${name}.order`, modules.map(({ file }) => `${file}\n`).join('')))
  }
  return [...orders, ...[...files].map(([file, data]) => program(`modules/${file}`, data))]
}

/**
 * Builds the guest that reads disks, from Debian's kernel, busybox, and programs of the host, in a folder on the host. Files
 * that are there are used again.
 * @throws UnavailableError when a part is missing and cannot be downloaded
 */
export async function buildGuestImage(host: Host, dir: string): Promise<GuestImage> {
  await host.mkdir(dir)
  const kernel = await findKernel(host, join(dir, 'kernel'))
  const image = {
    kernel: join(dir, `vmlinuz-${kernel.version}`),
    initrd: join(dir, `file-reader-${kernel.version}-${recipe}`),
  }
  if (!(await host.stat(image.kernel))) await host.writeFile(image.kernel, await host.readFile(kernel.image))
  if (await host.stat(image.initrd)) return image
  const busybox = await findBusybox(host, join(dir, 'busybox'))
  const entries = [
    ...['bin', 'dev', 'proc', 'sys', 'run', 'mnt', 'tmp', 'etc', 'modules', 'tools'].map(folder),
    program('bin/busybox', await host.readFile(busybox)),
    program('init', init),
    program('tools/load', load),
    program('tools/scan', scan),
    program('tools/open-volume', openVolume),
    ...(await toolFiles(host)),
    ...(await moduleFiles(host, kernel.modules)),
  ]
  await host.writeFile(image.initrd, cpio(entries))
  return image
}
