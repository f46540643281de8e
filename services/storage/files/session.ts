import { buffer } from 'node:stream/consumers'
import { join } from 'node:path'
import { config } from '#shared/config/config.ts'
import { AppError, ConflictError, notFound, TooLargeError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { backupDisk, chunkReader } from '../backups/nbd/backup-disk.ts'
import { backupRecords } from '../backups/model.ts'
import { containerManifestOf, manifestOf, openStore } from '../backups/store/open-store.ts'
import { openArchives } from './archives.ts'
import type { Session } from './readable.ts'
import { entriesIn, entryFormat } from './entries.ts'
import { bootGuest } from './guest/guest.ts'
import { buildGuestImage } from './guest/image.ts'
import { mostDisks } from './guest/start.ts'
import { pathIn, pathText } from './paths.ts'
import { type FoundVolume, volumesIn } from './volumes.ts'

/** Without a byte from the guest for so long, it is given up. */
const silentMs = 120_000
/** A folder with more in it is downloaded, not listed. */
const mostListedBytes = 32 * 2 ** 20

async function collected(output: AsyncIterable<Buffer>): Promise<Buffer> {
  let bytes = 0
  const counted = async function* () {
    for await (const piece of output) {
      bytes += piece.length
      if (bytes <= mostListedBytes) yield piece
    }
  }
  // The output is read to its end: the guest waits until it is.
  const all = await buffer(counted())
  if (bytes > mostListedBytes) throw new TooLargeError('The folder has too many entries to be listed: download it')
  return all
}

/** One image for all guests of this process. */
let image: ReturnType<typeof buildGuestImage> | undefined
const host = localHost()

function guestImage(): ReturnType<typeof buildGuestImage> {
  image ??= buildGuestImage(host, join(config().dataDir, 'guest')).catch((error: unknown) => {
    image = undefined
    throw error
  })
  return image
}

/**
 * Starts a guest with the disks of a backup, and finds their volumes. Those of a container are read without one.
 * @throws NotFoundError, ConflictError for a backup that is not complete or is damaged, UnavailableError
 */
export async function openSession(id: string): Promise<Session> {
  const backup = await backupRecords.require(id)
  if (backup.state !== 'ready') throw new ConflictError(`Backup '${id}' is ${backup.state}`)
  if (backup.kind === 'container') return openArchives(await openStore(backup.pool), await containerManifestOf(backup))
  const { disks } = await manifestOf(backup)
  if (disks.length > mostDisks)
    throw new ConflictError(`Backup '${id}' has ${disks.length} disks; files are read of at most ${mostDisks}`)
  const over = new AbortController()
  let lost: Error | null = null
  const chunks = await chunkReader(await openStore(backup.pool, over.signal), over.signal, (error) => (lost ??= error))
  const sources = disks.map((disk, index) => [`disk-${index}`, backupDisk(chunks, disk)] as const)
  const guest = await bootGuest(host, await guestImage(), new Map(sources))
  const close = async () => {
    over.abort()
    await guest.close()
  }
  /** A read of the guest that failed for a chunk that is lost says so. */
  const because = (error: unknown): unknown => (lost && error instanceof ConflictError ? lost : error)

  async function* run(words: readonly (string | Buffer)[]): AsyncGenerator<Buffer, void> {
    try {
      yield* guest.run(words, silentMs)
    } catch (error) {
      throw because(error)
    }
  }
  try {
    const scanned = volumesIn(
      (await collected(run(['/tools/scan']))).toString('latin1'),
      disks.map((disk) => disk.id),
    )
    return { ...scanned, ...filesOf(run, id, scanned.volumes), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The questions to the guest about files. */
function filesOf(
  run: (words: readonly (string | Buffer)[]) => AsyncGenerator<Buffer, void>,
  backup: string,
  volumes: readonly FoundVolume[],
): Pick<Session, 'list' | 'entry' | 'archive' | 'content'> {
  const mounted = new Set<string>()

  /** Mounts a volume. @returns its folder in the guest */
  async function opened(id: string): Promise<string> {
    const volume = volumes.find((each) => each.id === id)
    if (!volume) throw notFound('Volume', `${backup}/${id}`)
    if (!volume.readable) throw new ConflictError(`Volume '${id}' cannot be read: ${volume.reason}`)
    if (!mounted.has(id)) {
      await collected(run(['/tools/open-volume', volume.device, volume.type!])).catch((error: unknown) => {
        if (!(error instanceof ConflictError)) throw error
        throw new ConflictError(`The file system of volume '${id}' cannot be opened: ${error.message}`, {
          details: error.details,
          cause: error,
        })
      })
      mounted.add(id)
    }
    return `/mnt/${volume.device}`
  }

  /**
   * The kind of a path. Its folders are checked from the root on, so that no link is followed.
   * @throws NotFoundError, ConflictError for a link in place of a folder
   */
  async function kindOf(folder: string, names: readonly Buffer[]): Promise<string> {
    const paths = names.map((_, index) => pathIn(folder, names.slice(0, index + 1)))
    let failure: unknown
    const letters: Buffer[] = []
    try {
      for await (const piece of run(['/tools/find', folder, ...paths, '-maxdepth', '0', '-printf', '%y']))
        letters.push(piece)
    } catch (error) {
      failure = error
    }
    // The first is the root itself. Behind a link or a gap the letters are those of something else.
    const kinds = Buffer.concat(letters).toString('latin1')
    for (const [index] of names.entries()) {
      const [kind, isLast] = [kinds[index + 1], index === names.length - 1]
      const path = pathText(names.slice(0, index + 1))
      if (kind === undefined) {
        if (failure instanceof AppError && !(failure instanceof ConflictError && isMissing(failure))) throw failure
        throw notFound('File', path)
      }
      if (kind === 'l' && !isLast) throw new ConflictError(`${path} is a link: ask for its target instead`)
      if (kind !== 'd' && !isLast) throw notFound('File', pathText(names))
    }
    return kinds[names.length]!
  }

  return {
    async list(volume, names) {
      const folder = await opened(volume)
      const kind = await kindOf(folder, names)
      if (kind !== 'd') throw new ConflictError(`${pathText(names)} is ${kind === 'l' ? 'a link' : 'no folder'}`)
      const words = [pathIn(folder, names), '-mindepth', '1', '-maxdepth', '1', '-printf', entryFormat]
      return entriesIn(await collected(run(['/tools/find', ...words])))
    },
    async entry(volume, names) {
      const folder = await opened(volume)
      await kindOf(folder, names)
      const words = [pathIn(folder, names), '-maxdepth', '0', '-printf', entryFormat]
      return entriesIn(await collected(run(['/tools/find', ...words])))[0]!
    },
    async *archive(volume, names) {
      const folder = await opened(volume)
      const what = names.at(-1) ?? '.'
      const attributes = ['--numeric-owner', '--acls', '--xattrs', '--xattrs-include=*']
      const words = ['-c', '--format=pax', '--sparse', ...attributes, '-C', pathIn(folder, names.slice(0, -1))]
      yield* run(['/tools/tar', ...words, '--', what])
    },
    async *content(volume, names) {
      const folder = await opened(volume)
      yield* run(['/tools/dd', Buffer.concat([Buffer.from('if='), pathIn(folder, names)]), 'bs=256k', 'status=none'])
    },
  }
}

/** True for the words of `find` about a path that is not there. */
const isMissing = ({ message }: ConflictError): boolean => /No such file or directory|Not a directory/.test(message)
