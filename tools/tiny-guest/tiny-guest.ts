import { join } from 'node:path'
import type { Host } from '#shared/nodes/host/host.ts'
import { agentFiles } from './agent.ts'
import { buildInitrd, recipe } from './initrd.ts'
import { findBusybox, findKernel } from '#shared/nodes/guest-image/kernel.ts'

export { guestPrefix } from './init.ts'

/** Paths on the host, readable by all, and the kernel's command line. */
export type TinyGuest = { kernel: string; initrd: string; cmdline: string }

/** The kernel is quiet, since the console belongs to the guest. The other options save a second under emulation. */
const commandLine = 'console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr cryptomgr.notests=1'

/**
 * Builds a guest that boots in seconds even under emulation, from a Debian kernel and busybox, in `folder` on the host.
 * Existing files are reused. On its serial console it prints lines such as
 *
 *     horcrux-guest: nic eth0 52:54:00:12:34:56
 *     horcrux-guest: disk vda 1073741824
 *     horcrux-guest: parameter horcrux.name=demo
 *     horcrux-guest: up
 *
 * (disks in bytes; parameters are the words `horcrux.…` of its command line), then it runs a shell there and another one
 * on its screen. With `agent` it runs QEMU's guest agent and mounts an ext4 disk at /mnt. The power button powers it off.
 * It needs 128 MiB of memory.
 */
export async function buildTinyGuest(host: Host, folder: string, { agent = false } = {}): Promise<TinyGuest> {
  await host.mkdir(folder)
  const kernel = await findKernel(host, join(folder, 'kernel'))
  const guest = {
    kernel: join(folder, `vmlinuz-${kernel.version}`),
    initrd: join(folder, `initrd-${kernel.version}-${recipe}${agent ? '-agent' : ''}`),
    cmdline: commandLine,
  }
  if (!(await host.stat(guest.kernel))) await host.writeFile(guest.kernel, await host.readFile(kernel.image))
  if (!(await host.stat(guest.initrd))) {
    const busybox = await findBusybox(host, join(folder, 'busybox'))
    const files = agent ? await agentFiles(host, join(folder, 'agent')) : []
    await host.writeFile(guest.initrd, await buildInitrd(host, kernel.modules, busybox, files))
  }
  return guest
}
