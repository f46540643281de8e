import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'
import type { Host } from '#shared/nodes/host/host.ts'
import { type CpioEntry, cpio } from './cpio.ts'
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

type Module = { file: string; data: Buffer; dependsOn: string[] }

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

/** The modules and their dependencies, each after its dependencies. */
export async function loadOrder(host: Host, modulesFolder: string, names: string[]): Promise<Module[]> {
  const { stdout } = await host.runChecked('find', [join(modulesFolder, 'kernel'), '-name', '*.ko*'])
  const paths = new Map(stdout.split('\n').map((path) => [moduleName(path), path]))
  const ordered = new Map<string, Module>()

  async function add(name: string): Promise<void> {
    const path = paths.get(name)
    if (!path || ordered.has(name)) return
    const loaded = await readModule(host, path)
    for (const dependency of loaded.dependsOn) await add(moduleName(dependency))
    ordered.set(name, loaded)
  }

  for (const name of names) await add(moduleName(name))
  return [...ordered.values()]
}

/** Module name; the kernel treats - and _ as the same. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko.*$/, '')
    .replaceAll('-', '_')
}

async function readModule(host: Host, path: string): Promise<Module> {
  const data = path.endsWith('.xz') ? (await host.runChecked('xz', ['-dc', path])).bytes : await host.readFile(path)
  // The .modinfo section: strings that end in NUL, one of them "depends=a,b".
  const depends = /(?:^|\0)depends=([^\0]*)\0/.exec(data.toString('latin1'))?.[1] ?? ''
  return { file: `${moduleName(path)}.ko`, data, dependsOn: depends.split(',').filter(Boolean) }
}
