import { alreadyExists, ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host, HostProcess } from '#shared/nodes/host/host.ts'
import { type Named, pathOf } from '#shared/nodes/lxc/tools.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { idLabel, type Ref } from '../driver.ts'
import type { ArchiveSource } from '../files.ts'
import type { Copying, ListedSnapshot, Snapshots } from '../parts.ts'
import { configLine, parseConfig } from './config-file.ts'
import { notesFile, notesOf, type Notes } from './make.ts'

type NamedAt = (ref: Pick<Ref, 'node' | 'engine_id'>) => Promise<Named>

/** A copy takes as long as its bytes. */
const noLimit = { timeoutMs: Infinity }

/** The folder of LXC's own snapshots of a container. */
const snapsOf = (named: Named) => `${pathOf(named)}/snaps`

/** A snapshot's folder. @throws NotFoundError for a name that is no folder's */
const snapOf = (named: Named, name: string) => pathOf({ folder: snapsOf(named), name })

/** Copies a root file system with its users, devices and attributes. A half copy has another name. */
async function copyTree(host: Host, from: string, to: string): Promise<void> {
  await requireCurrent()
  await host.remove(`${to}.part`, { recursive: true })
  const words = ['--archive', '--reflink=auto', '--no-target-directory', '--', from, `${to}.part`]
  await host.runChecked('cp', words, noLimit)
  await requireCurrent()
  await host.remove(to, { recursive: true })
  await host.rename(`${to}.part`, to)
}

/** @throws ConflictError for a root file system that is no folder of its own, such as a data set or an overlay */
export function rootIn(entries: [string, string][], { name }: Named): string {
  const [, path] = entries.findLast(([key]) => key === 'lxc.rootfs.path') ?? ['', '']
  const folder = path.replace(/^dir:/, '')
  if (folder.startsWith('/')) return folder
  throw new ConflictError(`Container '${name}' cannot be copied: its root file system is no plain folder of its engine`)
}

async function configAt(host: Host, path: string): Promise<string> {
  return (await host.readFile(`${path}/config`)).toString('utf8')
}

/** A configuration for another folder; all lines of others stay as they are. */
export function configFor(text: string, folder: string, name: string | null): string {
  const own = new Map([
    ['lxc.rootfs.path', `dir:${folder}/rootfs`],
    ['lxc.console.logfile', `${folder}/console.log`],
    ...(name === null ? [] : [['lxc.uts.name', name] as const]),
  ])
  const lines = text.split('\n').flatMap((line) => {
    const key = parseConfig(line)[0]?.[0] ?? ''
    // An address of the card belongs to one container.
    if (name !== null && /^lxc\.net\.\d+\.hwaddr$/.test(key)) return []
    const value = own.get(key)
    return [value === undefined ? line : configLine(key, value)]
  })
  return lines.join('\n')
}

export const lxcSnapshots = (namedAt: NamedAt): Snapshots => ({
  onlyStopped: true,
  list: async (ref) => {
    const named = await namedAt(ref)
    const { host } = named
    const folders = await host.list(snapsOf(named)).catch((error: unknown) => {
      if (error instanceof NotFoundError) return []
      throw error
    })
    const found = folders.map(async ({ name }): Promise<ListedSnapshot[]> => {
      // It is written last.
      const config = await host.stat(`${snapOf(named, name)}/config`)
      return config ? [{ name, size_bytes: null, created_at: config.modifiedAt.toISOString() }] : []
    })
    return (await Promise.all(found)).flat()
  },
  create: async (ref, name) => {
    const named = await namedAt(ref)
    const { host } = named
    const [path, snap] = [pathOf(named), snapOf(named, name)]
    if (await host.stat(`${snap}/config`)) return
    const text = await configAt(host, path)
    const root = rootIn(parseConfig(text), named)
    await requireCurrent()
    await host.mkdir(snap, { mode: 0o711 })
    await copyTree(host, root, `${snap}/rootfs`)
    await host.writeFile(`${snap}/config`, configFor(text, snap, null), { mode: 0o640 })
  },
  restore: async (ref, name) => {
    const named = await namedAt(ref)
    const root = rootIn(parseConfig(await configAt(named.host, pathOf(named))), named)
    await copyTree(named.host, `${snapOf(named, name)}/rootfs`, root)
  },
  remove: async (ref, name) => {
    const named = await namedAt(ref)
    await requireCurrent()
    await named.host.remove(`${snapOf(named, name)}/config`)
    await named.host.remove(snapOf(named, name), { recursive: true })
  },
})

export const lxcCopying = (namedAt: NamedAt): Copying => ({
  onlyStopped: true,
  create: async (ref, { id, name, snapshot }) => {
    const named = await namedAt(ref)
    const { host, folder } = named
    const [path, source] = [pathOf({ folder, name }), snapshot === null ? pathOf(named) : snapOf(named, snapshot)]
    const there = await notesOf(host, path)
    if ((await host.stat(path)) && there?.id !== id) throw alreadyExists(name, { field: 'target_name' })
    if (there && (await host.stat(`${path}/config`))) return name
    const text = await configAt(host, source)
    const root = rootIn(parseConfig(text), named)
    const before = await notesOf(host, pathOf(named))
    const { [idLabel]: _, ...labels } = before?.labels ?? {}
    const notes: Notes = { id, labels, rootfs: before?.rootfs ?? null, created_at: new Date().toISOString() }
    await requireCurrent()
    await host.mkdir(path, { mode: 0o711 })
    await host.writeFile(`${path}/${notesFile}`, JSON.stringify(notes))
    await copyTree(host, root, `${path}/rootfs`)
    await requireCurrent()
    await host.writeFile(`${path}/config`, configFor(text, path, name), { mode: 0o640 })
    return name
  },
  tidy: async (ref, { id, name }) => {
    const { host, folder } = await namedAt(ref)
    const path = pathOf({ folder, name })
    // Without its configuration the engine does not know the folder.
    if ((await notesOf(host, path))?.id === id) await host.remove(path, { recursive: true })
  },
})

/** Reads the root file system of a container as a tar archive. Links are no folders that tar goes into. */
export async function exportRoot(named: Named): Promise<ArchiveSource> {
  const root = rootIn(parseConfig(await configAt(named.host, pathOf(named))), named)
  const words = ['--create', '--file=-', '--one-file-system', '--numeric-owner', `--directory=${root}`, '.']
  return archiveOf(await named.host.spawn('tar', words), named)
}

/** The archive that a tar writes to its standard output. */
export const archiveOf = ({ stdout, exit, kill }: HostProcess, { name }: Named): ArchiveSource => ({
  bytes: stdout as AsyncIterable<Buffer>,
  close: () => void kill(),
  end: async () => {
    const { code, stderr } = await exit
    // 1: a file has changed while it was read.
    if (code > 1) throw new ConflictError(`Container '${name}' could not be read: ${stderr.trim().slice(-500)}`)
  },
})
