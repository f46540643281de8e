import { join } from 'node:path'
import type { CpioEntry } from '#shared/nodes/guest-image/cpio.ts'
import { fetchInto } from '#shared/nodes/guest-image/kernel.ts'
import { unpackPackage } from '#shared/nodes/guest-image/packages.ts'
import { programFiles } from '#shared/nodes/guest-image/programs.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { shutdown } from './init.ts'

/**
 * Files of QEMU's guest agent for the initrd, from Debian's package, unpacked in `folder`. Its libraries come from the
 * host, which has them for QEMU.
 */
export async function agentFiles(host: Host, folder: string): Promise<CpioEntry[]> {
  const agent = join(folder, 'usr/sbin/qemu-ga')
  if (!(await host.stat(agent)))
    await fetchInto(host, folder, (aside) => unpackPackage(host, 'qemu-guest-agent', aside))
  return [
    ...['sbin', 'var', 'var/run'].map((path) => ({ path, mode: 0o040755 })),
    { path: 'sbin/shutdown', mode: 0o100755, data: shutdown },
    ...(await programFiles(host, [{ path: 'bin/qemu-ga', from: agent }])),
  ]
}
