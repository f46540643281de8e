import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Requirement, Sign } from './requirements.ts'

/** The path of a requirement, or null. */
export async function find(host: Host, sign: Sign): Promise<string | null> {
  if ('program' in sign) return host.which(sign.program)
  if ('file' in sign) return (await host.stat(sign.file)) ? sign.file : null
  for (const folder of await libraryFolders()) {
    const path = join(folder, sign.library)
    if (await host.stat(path)) return path
  }
  return null
}

/** The default folders of the dynamic linker, with Debian's multiarch folders. */
async function libraryFolders(): Promise<string[]> {
  const bases = ['/usr/lib', '/usr/lib64', '/usr/local/lib', '/lib', '/lib64']
  const entries = await readdir('/usr/lib').catch(() => [])
  return [...bases, ...entries.filter((name) => name.includes('-linux-')).map((name) => join('/usr/lib', name))]
}

/** The requirements of a list that this machine lacks. */
export async function missing(host: Host, list: readonly Requirement[]): Promise<Requirement[]> {
  const found = await Promise.all(list.map(({ sign }) => find(host, sign)))
  return list.filter((_, index) => found[index] === null)
}

/** The version that a program prints, such as `7.2.22`; its path if it prints none. */
export async function versionOf(host: Host, { sign }: Requirement, path: string): Promise<string> {
  if (!('program' in sign) || !sign.version) return path
  const result = await host.run(path, sign.version, { timeoutMs: 10_000 }).catch(() => null)
  return /\d+(\.\d+)+/.exec(`${result?.stdout ?? ''}${result?.stderr ?? ''}`)?.[0] ?? path
}
