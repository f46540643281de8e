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
 */
export async function make(host: Host, folder: string, definition: Definition): Promise<void> {
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
  await unpack(host, rootfs ?? '', `${path}/rootfs`)
  const config = configOf(definition, path, await hierarchiesOf(host))
  await requireCurrent()
  await host.writeFile(`${path}/config`, config, { mode: 0o640 })
}

/** Unpacks an archive as the container's root: its users are those of the map, and no file outside can be written. */
async function unpack(host: Host, archive: string, to: string): Promise<void> {
  await host.mkdir(to, { mode: 0o755 })
  await host.runChecked('chown', [`${idMap.first}:${idMap.first}`, to])
  const map = `b:0:${idMap.first}:${idMap.count}`
  const words = [
    '-m',
    map,
    '--',
    'tar',
    '--extract',
    '--numeric-owner',
    '--exclude=./dev/*',
    `--directory=${to}`,
    '--file=-',
  ]
  const [reading, writing] = [await host.spawn('cat', [archive]), await host.spawn('lxc-usernsexec', words)]
  writing.stdout.resume()
  // Its end tells more than the broken pipe.
  await pipeline(reading.stdout, writing.stdin).catch(() => undefined)
  const { code, stderr } = await writing.exit
  if (code !== 0)
    throw new ConflictError(`The archive could not be unpacked: ${stderr.trim().split('\n').slice(-2).join(' ')}`)
}
