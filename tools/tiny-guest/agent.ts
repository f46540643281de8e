import { dirname, join } from 'node:path'
import type { Host } from '#shared/nodes/host/host.ts'
import type { CpioEntry } from './cpio.ts'
import { shutdown } from './init.ts'
import { fetchInto } from './kernel.ts'
import { unpackPackage } from './packages.ts'

/**
 * Files of QEMU's guest agent for the initrd, from Debian's package, unpacked in `folder`. Its libraries come from the
 * host, which has them for QEMU.
 */
export async function agentFiles(host: Host, folder: string): Promise<CpioEntry[]> {
  const agent = join(folder, 'usr/sbin/qemu-ga')
  if (!(await host.stat(agent)))
    await fetchInto(host, folder, (aside) => unpackPackage(host, 'qemu-guest-agent', aside))
  const { stdout } = await host.runChecked('ldd', [agent])
  const missing = [...stdout.matchAll(/^\s*(\S+) => not found$/gm)].map(([, name]) => name)
  if (missing.length > 0)
    throw new Error(`${host.describe()} lacks libraries of QEMU's guest agent: ${missing.join(', ')}`)
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!.slice(1))
  const folders = new Set(['sbin', 'var', 'var/run', ...libraries.flatMap(parents)])
  const read = async (path: string, from: string): Promise<CpioEntry> => ({
    path,
    mode: 0o100755,
    data: await host.readFile(from),
  })
  return [
    ...[...folders].map((path) => ({ path, mode: 0o040755 })),
    { path: 'sbin/shutdown', mode: 0o100755, data: shutdown },
    await read('bin/qemu-ga', agent),
    ...(await Promise.all(libraries.map((path) => read(path, `/${path}`)))),
  ]
}

/** All parents of a path: `lib/x86` has `lib` and `lib/x86`. */
function parents(path: string): string[] {
  const folder = dirname(path)
  return folder === '.' ? [] : [...parents(folder), folder]
}
