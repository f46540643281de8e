import { existsSync, statSync } from 'node:fs'
import { type FileHandle, open as openFile, readdir, rename, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isSet, type Parsed, textOf } from '../arguments/parse.ts'
import { CommandError, exitCodes, usageError } from '../errors.ts'
import { type ErrorBody, failureOf } from '../http/failures.ts'
import { open, unreachable } from '../http/request.ts'
import type { Target } from '../http/target.ts'
import { sizeText } from '../output/cells.ts'
import { write } from '../output/print.ts'
import { progressBar } from '../output/progress.ts'
import { targetFrom } from '../actions/options.ts'

type Source = { pool: string; volume: string }
type Wanted = { target: Target; path: string; volume: string; isQuiet: boolean }
/** The file of the server: its tag is another one when the content is. */
type Offer = { size: number; tag: string; hasRanges: boolean }

/** Connections that may break one after the other without a byte from any. */
const mostCuts = 5
const pauseMs = 500

/** `horcrux cp POOL:VOLUME FILE`: downloads a volume. A download that was cut goes on where it ended. */
export async function download(parsed: Parsed, { pool, volume }: Source, to: string): Promise<number> {
  const [format, snapshot] = [textOf(parsed, 'format') ?? 'raw', textOf(parsed, 'snapshot')]
  const isFolder = statSync(to, { throwIfNoEntry: false })?.isDirectory() === true
  const file = isFolder ? join(to, `${volume}.${format}`) : to
  if (existsSync(file)) throw usageError(`${file} is there already`)
  const target = targetFrom(parsed)
  const query = new URLSearchParams({ format, ...(snapshot !== undefined && { snapshot }) })
  const [id, name] = [pool, volume].map(encodeURIComponent)
  const path = `/storage/pools/${id}/volumes/${name}/download?${query}`
  const size = await fetchInto(file, { target, path, volume, isQuiet: isSet(parsed, 'quiet') })
  await write(`${file}: ${sizeText(size)} downloaded\n`)
  return exitCodes.done
}

/** Downloads into a hidden file beside the wanted one, which has the tag in its name, and renames it when it is whole. */
async function fetchInto(file: string, wanted: Wanted): Promise<number> {
  for (let cuts = 0; ; cuts++) {
    const offer = await offered(wanted)
    const part = join(dirname(file), `.${basename(file)}.${offer.tag.replaceAll('"', '')}.part`)
    await removeOthers(file, part)
    const handle = await openFile(part, offer.hasRanges ? 'a' : 'w')
    const before = (await handle.stat()).size
    try {
      await receive(handle, before, offer, wanted)
      await handle.sync()
    } catch (error) {
      // A refusal does not pass.
      if (error instanceof CommandError) throw error
      if ((await handle.stat()).size > before) cuts = 0
      if (cuts >= mostCuts) throw unreachable(wanted.target, error)
      await sleep(pauseMs)
      continue
    } finally {
      await handle.close()
    }
    await rename(part, file)
    return offer.size
  }
}

/** Removes parts of earlier content of the volume. */
async function removeOthers(file: string, part: string): Promise<void> {
  const mine = (name: string) => name.startsWith(`.${basename(file)}.`) && /\.[\w-]{27}\.part$/.test(name)
  for (const name of await readdir(dirname(file)))
    if (mine(name) && name !== basename(part)) await rm(join(dirname(file), name))
}

/** The words of a refusal, which are its body. */
export async function refusalOf(
  message: IncomingMessage,
  { target, path }: Pick<Wanted, 'target' | 'path'>,
): Promise<CommandError> {
  const said = Buffer.concat((await message.toArray()) as Buffer[]).toString('utf8')
  let body: ErrorBody = null
  try {
    body = JSON.parse(said) as ErrorBody
  } catch {
    // The status says enough.
  }
  return failureOf(message.statusCode ?? 0, body, { target, method: 'GET', path })
}

/** Reads the head of the file; a refusal is read with its reason. */
async function offered(wanted: Wanted): Promise<Offer> {
  const { target, path } = wanted
  const message = await open(target, { method: 'HEAD', path }).catch((error: unknown) => {
    throw unreachable(target, error)
  })
  message.resume()
  const { etag, 'content-length': length, 'accept-ranges': ranges } = message.headers
  if (message.statusCode === 200 && etag !== undefined && length !== undefined)
    return { size: Number(length), tag: etag, hasRanges: ranges === 'bytes' }
  const told = await open(target, { path })
  if ((told.statusCode ?? 0) >= 400) throw await refusalOf(told, wanted)
  told.destroy()
  throw new Error('The content has just changed')
}

/** Writes what is missing. @throws CommandError for a refusal, another error for a cut */
async function receive(
  handle: FileHandle,
  from: number,
  { size, tag, hasRanges }: Offer,
  wanted: Wanted,
): Promise<void> {
  if (from === size) return
  const { target, path, volume, isQuiet } = wanted
  const headers = hasRanges ? { range: `bytes=${from}-`, 'if-range': tag } : {}
  const message = await open(target, { path, headers })
  if ((message.statusCode ?? 0) >= 400) throw await refusalOf(message, wanted)
  if (message.headers.etag !== tag || (from > 0 && message.statusCode !== 206)) {
    message.destroy()
    throw new Error('The content has just changed')
  }
  const bar = progressBar({ isQuiet })
  let done = from
  try {
    for await (const piece of message as AsyncIterable<Buffer>) {
      // Zeros become a hole.
      if (isZero(piece)) await handle.truncate(done + piece.length)
      else await handle.write(piece)
      done += piece.length
      bar.show({
        id: volume,
        kind: `download ${volume}`,
        state: 'running',
        stage: null,
        progress: { done, total: size, unit: 'bytes', percent: (100 * done) / size },
        version: 0,
        error: null,
      })
    }
  } finally {
    bar.clear()
  }
  if (done !== size) throw new Error(`The connection broke off after ${done} of ${size} bytes`)
}

const zeros = Buffer.alloc(65_536)
const isZero = (piece: Buffer) => piece.length <= zeros.length && piece.equals(zeros.subarray(0, piece.length))
