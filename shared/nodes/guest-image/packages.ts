import { join } from 'node:path'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '../host/host.ts'

const networkTimeoutMs = 300_000

/**
 * Unpacks a Debian package into `folder` without installing it, which needs no root. With `follow` the package is a
 * metapackage, and its first dependency with a matching name is unpacked.
 * @throws UnavailableError if Debian's package lists are missing and only root could fetch them
 */
export async function unpackPackage(host: Host, name: string, folder: string, follow?: RegExp): Promise<void> {
  await host.mkdir(folder)
  const real = await retryWithNewLists(host, async () => {
    const found = follow ? await dependency(host, name, follow) : name
    await host.runChecked('apt-get', ['-q', 'download', found], { cwd: folder, timeoutMs: networkTimeoutMs })
    return found
  })
  const archive = (await host.list(folder)).find((entry) => entry.name.startsWith(`${real}_`))
  if (!archive) throw new UnavailableError(`apt-get on ${host.describe()} did not download ${real}`)
  const path = join(folder, archive.name)
  await host.runChecked('dpkg-deb', ['-x', path, folder], { timeoutMs: networkTimeoutMs })
  await host.remove(path)
}

async function dependency(host: Host, name: string, follow: RegExp): Promise<string> {
  const { stdout } = await host.runChecked('apt-cache', ['depends', '--important', name])
  const names = [...stdout.matchAll(/^\s*\|?Depends: (\S+)$/gm)].map((match) => match[1] as string)
  const found = names.find((word) => follow.test(word))
  if (!found) throw new Error(`Debian's ${name} depends on no package like ${follow}`)
  return found
}

async function retryWithNewLists<T>(host: Host, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if ((await host.runChecked('id', ['-u'])).stdout.trim() !== '0') {
      const help = 'run "apt-get update" as root on it, then try again'
      const why = (cause as Error).message
      throw new UnavailableError(`Debian packages cannot be downloaded on ${host.describe()}: ${help} (${why})`, {
        cause,
      })
    }
    await host.runChecked('apt-get', ['-q', 'update'], { timeoutMs: networkTimeoutMs })
    return work()
  }
}
