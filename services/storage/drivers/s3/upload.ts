import { createHash } from 'node:crypto'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { Put, Putting } from '../objects.ts'
import { type Answer, ask, documentOf } from './client.ts'

type Place = { host: Host; config: PoolConfig<'s3'>; name: string; how: Putting }
type Part = { number: number; etag: string }

const MiB = 2 ** 20
/** S3 takes at most 10,000 parts of at least 5 MiB, the last one excepted; some stores demand parts of one size. */
const mostParts = 10_000
const wantedParts = 9500
const smallestPart = 8 * MiB
/** For content of unknown length: its 10,000 parts are 156 GiB. */
const usualPart = 16 * MiB

/** Bytes of each part but the last. */
export const partBytesOf = (size_bytes: number | undefined): number =>
  size_bytes === undefined ? usualPart : Math.max(smallestPart, Math.ceil(size_bytes / wantedParts))

/** Joins content to parts of one size; the last one is smaller, and the only one may be empty. */
export async function* partsOf(content: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Buffer> {
  let kept: Uint8Array[] = []
  let size = 0
  let isAny = false
  for await (const piece of content) {
    for (let from = 0; from < piece.length;) {
      const some = piece.subarray(from, from + bytes - size)
      kept.push(some)
      from += some.length
      size += some.length
      if (size < bytes) continue
      yield Buffer.concat(kept)
      isAny = true
      kept = []
      size = 0
    }
  }
  if (size > 0 || !isAny) yield Buffer.concat(kept)
}

const md5Of = (body: Buffer) => createHash('md5').update(body)
const ifAbsent = ({ ifExists }: Putting) => (ifExists === 'refuse' ? { 'if-none-match': '*' } : {})

const exists = async ({ host, config, name, how }: Place) =>
  (await ask(host, config, { method: 'HEAD', name, signal: how.signal })).status === 200

/** Stores content of one part. @returns false when the name is taken */
async function putOne({ host, config, name, how }: Place, body: Buffer): Promise<boolean> {
  const headers = { 'content-md5': md5Of(body).digest('base64'), ...ifAbsent(how) }
  await requireCurrent()
  const { status, tries } = await ask(host, config, { method: 'PUT', name, headers, body, signal: how.signal })
  if (status !== 412) return true
  if (tries === 1) return false
  // The answer to an earlier try may have been lost.
  const there = await ask(host, config, { method: 'HEAD', name, signal: how.signal })
  return etagOf(there) === md5Of(body).digest('hex')
}

const etagOf = ({ headers }: Pick<Answer, 'headers'>) => (headers.etag ?? '').replaceAll('"', '')

async function begin({ host, config, name, how }: Place): Promise<string> {
  const { text } = await ask(host, config, { method: 'POST', name, query: { uploads: '' }, signal: how.signal })
  return String(documentOf(text)['UploadId'])
}

async function putPart({ host, config, name, how }: Place, id: string, number: number, body: Buffer): Promise<Part> {
  const query = { partNumber: String(number), uploadId: id }
  const headers = { 'content-md5': md5Of(body).digest('base64') }
  const told = await ask(host, config, { method: 'PUT', name, query, headers, body, signal: how.signal })
  if (told.status !== 200) throw new UnavailableError(`${name}: its upload has ended: it was swept`)
  return { number, etag: told.headers.etag ?? '' }
}

/** @returns false when the name is taken */
async function complete(place: Place, id: string, parts: Part[]): Promise<boolean> {
  const { host, config, name, how } = place
  await requireCurrent()
  // Not every store knows the condition for a completion.
  if (how.ifExists === 'refuse' && (await exists(place))) return false
  const list = parts.map(({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`)
  const body = Buffer.from(`<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`)
  const asked = { method: 'POST' as const, name, query: { uploadId: id }, headers: ifAbsent(how), body }
  const { status, tries } = await ask(host, config, { ...asked, signal: how.signal })
  if (status === 412) return false
  // Completed by an earlier try whose answer was lost.
  if (status === 404 && tries > 1 && (await exists(place))) return true
  if (status !== 200) throw new UnavailableError(`${name}: its upload has ended: it was swept`)
  return true
}

/** Ends an upload and removes its parts; one that is gone is fine. */
export const abort = (host: Host, config: PoolConfig<'s3'>, name: string, id: string): Promise<Answer> =>
  ask(host, config, { method: 'DELETE', name, query: { uploadId: id } })

/** Stores content: in one request if it is small, else in parts, of which one is in memory. */
export async function upload(place: Place, content: AsyncIterable<Uint8Array>): Promise<Put> {
  const { host, config, name, how } = place
  const hash = createHash('sha256')
  let size_bytes = 0
  const bytes = partBytesOf(how.size_bytes)
  const told = (is_made: boolean): Put => ({ is_made, size_bytes, sha256: hash.digest('hex') })
  const requireLength = (isEnd: boolean) => {
    const wanted = how.size_bytes
    if (wanted === undefined || (isEnd ? size_bytes === wanted : size_bytes <= wanted)) return
    throw new ConflictError(`Object '${name}' has ${isEnd ? '' : 'at least '}${size_bytes} bytes instead of ${wanted}`)
  }
  let id: string | undefined
  const sent: Part[] = []
  try {
    let held: Buffer | undefined
    for await (const part of partsOf(content, bytes)) {
      how.signal.throwIfAborted()
      hash.update(part)
      size_bytes += part.length
      requireLength(false)
      if (held) {
        id ??= await begin(place)
        sent.push(await putPart(place, id, sent.length + 1, held))
        if (sent.length === mostParts)
          throw new ConflictError(
            `Object '${name}' has more than ${mostParts} parts of ${bytes} bytes: give its length`,
          )
      }
      held = part
    }
    requireLength(true)
    if (id === undefined) return told(await putOne(place, held!))
    sent.push(await putPart(place, id, sent.length + 1, held!))
    const isMade = await complete(place, id, sent)
    if (isMade) id = undefined
    return told(isMade)
  } finally {
    if (id !== undefined) await abort(host, config, name, id).catch(() => undefined)
  }
}
