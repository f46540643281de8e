import { createHash } from 'node:crypto'
import type { Host } from '#shared/nodes/host/host.ts'
import { type CpioEntry, cpio } from '#shared/nodes/guest-image/cpio.ts'
import { loadOrder } from '#shared/nodes/guest-image/modules.ts'
import { init, inittab, mdevConf, powerButton, report, shutdown } from './init.ts'

/** Kernel modules that the guest loads, by file name; built-in ones are not in the kernel's folder. */
const guestModules = [
  'virtio_pci',
  'virtio_blk',
  'virtio_net',
  'virtio_balloon',
  'virtio_console',
  'virtio-rng',
  'evdev',
  'button',
  'virtio_scsi',
  'sr_mod',
  'isofs',
]

/** Modules for a guest with an agent: a file system that can be frozen. */
const agentModules = ['ext4']

/** Hash of the ingredients: it differs if an initrd made from the same kernel would. */
export const recipe: string = createHash('sha256')
  .update([init, inittab, mdevConf, powerButton, report, shutdown, ...guestModules, ...agentModules].join('\0'))
  .digest('hex')
  .slice(0, 12)

/** Builds the initrd, uncompressed: under emulation unpacking would take longer. */
export async function buildInitrd(
  host: Host,
  modulesFolder: string,
  busybox: string,
  agent: CpioEntry[] = [],
): Promise<Buffer> {
  const modules = await loadOrder(
    host,
    modulesFolder,
    agent.length > 0 ? [...guestModules, ...agentModules] : guestModules,
  )
  const folder = (path: string): CpioEntry => ({ path, mode: 0o040755 })
  const program = (path: string, data: string | Buffer): CpioEntry => ({ path, mode: 0o100755, data })
  const folders = ['bin', 'dev', 'proc', 'sys', 'tmp', 'mnt', 'etc', 'etc/acpi', 'etc/acpi/PWRF', 'modules']
  return cpio([
    ...folders.map(folder),
    program('bin/busybox', await host.readFile(busybox)),
    program('init', init),
    program('etc/inittab', inittab),
    program('etc/mdev.conf', mdevConf),
    program('bin/report', report),
    program('etc/acpi/PWRF/00000080', powerButton),
    ...agent,
    program('modules/order', modules.map(({ file }) => `${file}\n`).join('')),
    ...modules.map(({ file, data }) => program(`modules/${file}`, data)),
  ])
}
