import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { scanHostKey, sshHost, type SshTarget } from '#shared/nodes/host/ssh/ssh.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { cpio, type CpioEntry } from '#shared/nodes/guest-image/cpio.ts'
import { loadOrder } from '#shared/nodes/guest-image/modules.ts'
import { findBusybox, findKernel } from '#shared/nodes/guest-image/kernel.ts'
import { available } from '../requirements.ts'
import '../setup.ts'

/** A guest with the kernel of Debian and the programs of this machine, which it sees as `gateway`. */
export type KernelNode = { host: Host; target: SshTarget }

/** This machine as the node sees it. */
export const gateway = '10.0.2.2'

const script = join(import.meta.dirname, 'kernel-node.sh')
/** Kernel modules in the order of loading: the soft dependencies of cifs stand before it. */
const moduleNames =
  'virtio_pci virtio_net virtio-rng virtiofs overlay nfsv4 ghash-generic gcm ccm cmac ctr ecb sha512_generic nls_utf8 cifs'

let started: Promise<KernelNode | null> | undefined

/**
 * The kernel node of this worker of vitest; null, said aloud, where a program for it is missing. The first file that asks for
 * it boots it, and it ends with the run.
 */
export const kernelNode = (): Promise<KernelNode | null> => (started ??= start())

async function start(): Promise<KernelNode | null> {
  const machine = localHost()
  try {
    const problems = (await machine.runChecked('bash', [script, 'needs'])).stdout.split('\n').filter(Boolean)
    if (!available('kernel-node', problems)) return null
    const { dir: run, pid } = inject('run')
    const dir = join(run, `kernel-node-${process.env['VITEST_POOL_ID']}`)
    if (!existsSync(join(dir, 'port'))) await boot(machine, run, dir, pid)
    const at = { address: '127.0.0.1', port: Number(await readFile(join(dir, 'port'), 'utf8')), user: 'root' }
    const privateKey = await readFile(join(dir, 'id'), 'utf8')
    const { fingerprint } = await scanHostKey(at.address, at.port)
    const target = { ...at, privateKey, hostKey: fingerprint }
    return { host: sshHost(target), target }
  } finally {
    await machine.close()
  }
}

async function boot(machine: Host, run: string, dir: string, owner: number): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  for (const key of ['id', 'host'])
    await machine.runChecked('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, key)])
  const kernel = await findKernel(machine, join(run, 'guest-kernel'))
  const busybox = await findBusybox(machine, join(run, 'busybox'))
  const modules = await loadOrder(machine, kernel.modules, moduleNames.split(' '))
  const folder = (path: string): CpioEntry => ({ path, mode: 0o040755 })
  const program = (path: string, data: string | Buffer): CpioEntry => ({ path, mode: 0o100755, data })
  const initrd = cpio([
    ...['bin', 'dev', 'proc', 'etc', 'keys', 'modules'].map(folder),
    program('bin/busybox', await machine.readFile(busybox)),
    program('init', (await machine.runChecked('bash', [script, 'init'])).stdout),
    program('keys/id.pub', await machine.readFile(join(dir, 'id.pub'))),
    program('keys/host', await machine.readFile(join(dir, 'host'))),
    program('modules/order', modules.map(({ file }) => `${file}\n`).join('')),
    ...modules.map(({ file, data }) => program(`modules/${file}`, data)),
  ])
  await machine.writeFile(join(dir, 'initrd'), initrd, { mode: 0o600 })
  const port = await freePort(0)
  const words = [dir, kernel.image, join(dir, 'initrd'), String(port), String(owner)]
  await machine.runChecked('bash', [script, 'up', ...words], { timeoutMs: 600_000 })
  await machine.writeFile(join(dir, 'port'), String(port))
}
