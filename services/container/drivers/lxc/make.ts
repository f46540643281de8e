import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { alreadyExists, ConflictError, NotFoundError } from '#shared/errors.ts'
import { hierarchiesOf } from '#shared/nodes/host/cgroup/hierarchies.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { Definition } from '../driver.ts'
import { configOf, idMap } from './config-file.ts'
import { pathOf } from '#shared/nodes/lxc/tools.ts'

/** A file beside the configuration: LXC has no labels. */
export const notesFile = 'horcrux.json'
export type Notes = { id: string; labels: Record<string, string>; rootfs: string | null; created_at: string }

/** null for a container that others have made. */
export async function notesOf(host: Host, path: string): Promise<Notes | null> {
  try {
    return JSON.parse((await host.readFile(`${path}/${notesFile}`)).toString('utf8')) as Notes
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof SyntaxError) return null
    throw error
  }
}

/**
 * Makes a container of an archive. Its configuration is written last: without it, LXC does not know the folder, and a
 * repetition begins anew.
 * @param archive the bytes of the archive; null: it is the file that the definition names
 */
export async function make(
  host: Host,
  folder: string,
  definition: Definition,
  archive: Readable | null = null,
): Promise<void> {
  const { id, name, labels, rootfs } = definition
  const path = pathOf({ folder, name })
  const notes = await notesOf(host, path)
  if ((await host.stat(path)) && notes?.id !== id) throw alreadyExists(name, { field: 'name' })
  if (notes && (await host.stat(`${path}/config`))) return
  await requireCurrent()
  await host.mkdir(folder, { mode: 0o711 })
  await host.mkdir(path, { mode: 0o711 })
  const own: Notes = { id, labels, rootfs, created_at: new Date().toISOString() }
  await host.writeFile(`${path}/${notesFile}`, JSON.stringify(own))
  await host.remove(`${path}/rootfs`, { recursive: true })
  const source = archive ?? (await host.spawn('cat', [rootfs ?? ''])).stdout
  await unpack(host, source, `${path}/rootfs`, ownMap)
  const config = configOf(definition, path, await hierarchiesOf(host))
  await requireCurrent()
  await host.writeFile(`${path}/config`, config, { mode: 0o640 })
}

const ownMap = ['-m', `b:0:${idMap.first}:${idMap.count}`]

/** The user of the node that the root of a container is. */
const rootUserOf = (maps: readonly string[]): string =>
  maps.map((map) => /^[bu]:0:(\d+):/.exec(map)?.[1]).find((user) => user !== undefined) ?? '0'

/**
 * Unpacks an archive as the container's root: its users are those of the map, and no file outside can be written.
 * @param maps options of lxc-usernsexec; none: the users are those of the node
 */
export async function unpack(host: Host, archive: Readable, to: string, maps: readonly string[]): Promise<void> {
  await host.mkdir(to, { mode: 0o755 })
  const user = rootUserOf(maps)
  await host.runChecked('chown', [`${user}:${user}`, to])
  const tar = [
    'tar',
    '--extract',
    '--numeric-owner',
    '--xattrs',
    '--xattrs-include=security.capability',
    '--xattrs-include=user.*',
    '--anchored',
    '--exclude=./dev/*',
    '--exclude=dev/*',
    `--directory=${to}`,
    '--file=-',
  ]
  const [program, ...rest] = maps.length > 0 ? ['lxc-usernsexec', ...maps, '--', ...tar] : tar
  const writing = await host.spawn(program!, rest)
  writing.stdout.resume()
  let broken: unknown
  archive.once('error', (error) => (broken = error))
  // Its end tells more than the broken pipe.
  await pipeline(archive, writing.stdin).catch(() => undefined)
  const { code, stderr } = await writing.exit
  // An archive that breaks off between two files looks whole.
  if (broken) throw broken
  if (code !== 0)
    throw new ConflictError(`The archive could not be unpacked: ${stderr.trim().split('\n').slice(-2).join(' ')}`)
}
