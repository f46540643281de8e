import { ConflictError, NotFoundError, TooLargeError } from '#shared/errors.ts'
import { readTar, tarEnd, type TarEntry } from '#shared/tar/read-tar.ts'
import { asFile } from '#shared/tar/rename-entry.ts'
import type { IndexEntry } from '../backups/containers/entries.ts'
import { archiveBytes, indexText } from '../backups/containers/read-archive.ts'
import { chunkReader, type ChunkReader } from '../backups/nbd/backup-disk.ts'
import type { ContainerManifest, ManifestArchive } from '../backups/store/manifest.ts'
import type { Objects } from '../backups/store/objects.ts'
import { type FoundEntry, timeOf } from './entries.ts'
import { displayOf, pathText, textOf } from './paths.ts'
import type { Session } from './readable.ts'
import type { FoundVolume } from './volumes.ts'

/** A folder with more in it is downloaded, not listed. */
const mostListed = 200_000
const blockBytes = 512

type Tree = {
  archive: ManifestArchive
  entries: Map<string, IndexEntry>
  /** Paths of the entries of each folder. */
  folders: Map<string, string[]>
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))
const keyOf = (names: readonly Buffer[]): string => names.map((name) => name.toString('latin1')).join('/')

/** The entries of an archive by their paths. Of a path that is there twice, the last one counts, as for tar. */
async function treeOf(reader: ChunkReader, archive: ManifestArchive): Promise<Tree> {
  const entries = new Map<string, IndexEntry>()
  for (const line of (await indexText(reader, archive)).split('\n')) {
    if (line === '') continue
    // It is what the backup has written.
    const entry = JSON.parse(line) as IndexEntry
    entries.set(entry.p, entry)
  }
  const folders = new Map<string, string[]>()
  for (const path of entries.keys()) {
    if (path === '') continue
    const parent = parentOf(path)
    const own = folders.get(parent)
    if (own) own.push(path)
    else folders.set(parent, [path])
  }
  return { archive, entries, folders }
}

function foundOf({ p, k, m, u, g, s, t, l }: IndexEntry, size: number): FoundEntry {
  const bytes = Buffer.from(p.slice(p.lastIndexOf('/') + 1), 'latin1')
  return {
    name: displayOf(bytes),
    bytes,
    kind: k,
    mode: (m & 0o7777).toString(8).padStart(4, '0'),
    uid: u,
    gid: g,
    size_bytes: k === 'file' && l !== undefined ? size : s,
    modified_at: timeOf(String(t)),
    target: k === 'link' ? textOf(Buffer.from(l ?? '', 'latin1')) : null,
  }
}

const volumeOf = ({ id, target, size_bytes }: ManifestArchive): FoundVolume => ({
  id,
  disk: null,
  partition: null,
  type: 'tar',
  label: target,
  uuid: null,
  size_bytes,
  readable: true,
  reason: null,
  device: id,
})

const bare = (path: string) => path.replace(/^(\.?\/)+/, '').replace(/\/+$/, '')

/** Reads files of a backup of a container: they are in archives, so no guest is needed. */
export async function openArchives(objects: Objects, { archives, left_out }: ContainerManifest): Promise<Session> {
  const over = new AbortController()
  let lost: Error | undefined
  const reader = await chunkReader(objects, over.signal, (error) => (lost ??= error))
  const trees = new Map<string, Promise<Tree>>()

  const treeFor = (volume: string): Promise<Tree> => {
    const archive = archives.find(({ id }) => id === volume)
    if (!archive) throw new NotFoundError(`The backup has no volume '${volume}'`)
    const tree = trees.get(volume) ?? treeOf(reader, archive)
    tree.catch(() => trees.delete(volume))
    trees.set(volume, tree)
    return tree
  }

  /** @throws NotFoundError */
  const entryAt = ({ entries }: Tree, names: readonly Buffer[]): IndexEntry => {
    const entry = entries.get(keyOf(names))
    if (!entry) throw new NotFoundError(`The volume has no '${pathText(names)}'`)
    return entry
  }

  /** The entry that has the content: a hard link names an entry before it. */
  const contentOf = ({ entries }: Tree, entry: IndexEntry): IndexEntry =>
    entry.k === 'file' && entry.l !== undefined ? (entries.get(bare(entry.l)) ?? entry) : entry

  const padded = (size: number) => Math.ceil(size / blockBytes) * blockBytes
  const bytes = ({ archive }: Tree, from: number, to: number) => archiveBytes(reader, archive, from, to)

  /** The headers of an entry as they are in the archive. */
  async function headersOf(tree: Tree, { h, d }: IndexEntry): Promise<TarEntry> {
    for await (const part of readTar(bytes(tree, h, d))) if (part.kind === 'entry') return part.entry
    throw new ConflictError('The archive in the backup has no header where its index has one')
  }

  /** An entry with its content. One whose content is that of an entry outside the archive is a file of its own. */
  async function* entryBytes(
    tree: Tree,
    entry: IndexEntry,
    isInside: (path: string) => boolean,
  ): AsyncGenerator<Buffer, void> {
    const content = contentOf(tree, entry)
    if (content === entry || isInside(content.p)) return yield* bytes(tree, entry.h, entry.d + padded(entry.s))
    yield asFile(await headersOf(tree, entry), content.s)
    yield* bytes(tree, content.d, content.d + padded(content.s))
  }

  async function* below({ entries }: Tree, path: string): AsyncGenerator<IndexEntry, void> {
    for (const entry of entries.values())
      if (path === '' || entry.p === path || entry.p.startsWith(`${path}/`)) yield entry
  }

  return {
    volumes: archives.map(volumeOf),
    problems: left_out.map(({ target, reason }) => `${target} is not in the backup: ${reason}`),

    async list(volume, names) {
      const tree = await treeFor(volume)
      const path = keyOf(names)
      if (names.length > 0 && entryAt(tree, names).k !== 'folder')
        throw new ConflictError(`'${pathText(names)}' is no folder`)
      const own = tree.folders.get(path) ?? []
      if (own.length > mostListed) throw new TooLargeError('The folder has too many entries to be listed: download it')
      const found = own.map((each) => {
        const entry = tree.entries.get(each)!
        return foundOf(entry, contentOf(tree, entry).s)
      })
      return found.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes))
    },

    async entry(volume, names) {
      const tree = await treeFor(volume)
      const entry = entryAt(tree, names)
      return foundOf(entry, contentOf(tree, entry).s)
    },

    async *archive(volume, names) {
      const tree = await treeFor(volume)
      const path = keyOf(names)
      const isInside = (each: string) => path === '' || each === path || each.startsWith(`${path}/`)
      for await (const entry of below(tree, path)) yield* entryBytes(tree, entry, isInside)
      if (lost) throw lost
      yield tarEnd
    },

    async *content(volume, names) {
      const tree = await treeFor(volume)
      const { d, s } = contentOf(tree, entryAt(tree, names))
      yield* bytes(tree, d, d + s)
    },

    close: async () => over.abort(),
  }
}
