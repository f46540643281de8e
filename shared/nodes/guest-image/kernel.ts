import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '../host/host.ts'
import { unpackPackage } from './packages.ts'

/** A kernel: the path of its image, and the folder that contains `kernel/` with the modules. */
export type Kernel = { version: string; image: string; modules: string }

/**
 * Finds a kernel for a guest: the one in `folder` from an earlier run, else the host's own in /boot, else Debian's
 * cloud kernel.
 */
export async function findKernel(host: Host, folder: string): Promise<Kernel> {
  const found = (await kernelUnder(host, folder)) ?? (await kernelUnder(host, '/'))
  if (found) return found

  const { stdout } = await host.runChecked('dpkg', ['--print-architecture'])
  if (stdout.trim() !== 'amd64')
    throw new UnavailableError(`The tiny guest is for amd64, and ${host.describe()} is ${stdout.trim()}`)
  await fetchInto(host, folder, (aside) => unpackPackage(host, 'linux-image-cloud-amd64', aside, /^linux-image-\d/))
  const fetched = await kernelUnder(host, folder)
  if (!fetched) throw new Error(`Debian's kernel package has no /boot/vmlinuz in ${folder}`)
  return fetched
}

/** Finds a statically linked busybox: the host's, else Debian's, unpacked in `folder`. */
export async function findBusybox(host: Host, folder: string): Promise<string> {
  const own = await host.which('busybox')
  if (own && isStatic(await host.readFile(own))) return own
  const path = join(folder, 'bin/busybox')
  if (await host.stat(path)) return path
  await fetchInto(host, folder, (aside) => unpackPackage(host, 'busybox-static', aside))
  return path
}

async function kernelUnder(host: Host, root: string): Promise<Kernel | null> {
  if (!(await host.stat(join(root, 'boot')))) return null
  for (const { name } of (await host.list(join(root, 'boot'))).toReversed()) {
    const version = /^vmlinuz-(.+)$/.exec(name)?.[1]
    const image = join(root, 'boot', name)
    const modules = join(root, 'lib/modules', version ?? '')
    if (version && (await host.stat(join(modules, 'kernel'))) && (await isReadable(host, image)))
      return { version, image, modules }
  }
  return null
}

async function isReadable(host: Host, path: string): Promise<boolean> {
  return (await host.run('test', ['-r', path])).code === 0
}

/** Makes a folder atomically, since another process may make the same one: in a temporary folder, then renamed. */
export async function fetchInto(host: Host, folder: string, work: (aside: string) => Promise<void>): Promise<void> {
  const aside = `${folder}.${randomUUID()}`
  try {
    await work(aside)
    await host.rename(aside, folder).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) throw error
    })
  } finally {
    await host.remove(aside, { recursive: true })
  }
}

/**
 * Checks that an ELF64 program has no interpreter (dynamic linker): no program header of type PT_INTERP (3), see
 * elf(5).
 */
function isStatic(program: Buffer): boolean {
  const [start, size, count] = [Number(program.readBigUInt64LE(32)), program.readUInt16LE(54), program.readUInt16LE(56)]
  return Array.from({ length: count }, (_, index) => program.readUInt32LE(start + index * size)).every(
    (type) => type !== 3,
  )
}
