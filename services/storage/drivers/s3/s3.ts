import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { PoolConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, NotFoundError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { type PoolDriver, unknownFigures } from '../driver.ts'
import { contentOfMarker, identityIn, markerName } from '../marker.ts'
import { type ObjectDriver, requireKey } from '../objects.ts'
import { ask, read } from './client.ts'
import { keysIn, listPage, unfinishedUploads } from './listing.ts'
import { abort, upload } from './upload.ts'

type Config = PoolConfig<'s3'>

/** Pages of keys that are counted for the usage: with more objects it is not known. */
const countedPages = 10

/** The name of an object in the bucket. */
const nameIn = ({ prefix }: Config, key: string) => (prefix === null ? key : `${prefix}/${key}`)

/** Reads the marker; null for none. @throws NotFoundError without the bucket */
async function readMarker(host: Host, config: Config): Promise<string | null> {
  const { status, text } = await ask(host, config, { method: 'GET', name: nameIn(config, markerName) })
  return status === 200 ? identityIn(text) : null
}

/** Makes the marker unless there is one. @returns true when it was made */
async function putMarker(host: Host, config: Config, identity: string): Promise<boolean> {
  const { status } = await ask(host, config, {
    method: 'PUT',
    name: nameIn(config, markerName),
    headers: { 'if-none-match': '*' },
    body: Buffer.from(contentOfMarker(identity)),
  })
  return status === 200
}

/** The bytes of an answer. @throws UnavailableError in the stream when it breaks off */
async function* bytesOf(answer: IncomingMessage, name: string) {
  let left = Number(answer.headers['content-length'])
  try {
    // Without an encoding, pieces are buffers.
    for await (const piece of answer as AsyncIterable<Buffer>) {
      left -= piece.length
      yield piece
    }
  } catch (error) {
    throw new UnavailableError(`${name} broke off: ${(error as Error).message}`, { cause: error })
  }
  if (left !== 0) throw new UnavailableError(`${name} broke off ${left} bytes too early`)
}

const objects: ObjectDriver<'s3'> = {
  async put(host, config, key, content, how) {
    return upload({ host, config, name: nameIn(config, requireKey(key)), how }, content)
  },

  async get(host, config, key, { offset = 0, length, signal }) {
    const name = nameIn(config, requireKey(key))
    if (length === 0) return Readable.from([])
    const last = length === undefined ? '' : offset + length - 1
    const headers = { range: `bytes=${offset}-${last}` }
    const answer = await read(host, config, { method: 'GET', name, headers, signal })
    if (answer) return Readable.from(bytesOf(answer, name), { objectMode: false })
    // Behind the end, as in a file, there is nothing.
    if (await objects.stat(host, config, key)) return Readable.from([])
    throw new NotFoundError(`Object '${key}' not found in ${config.endpoint}/${config.bucket}`)
  },

  async stat(host, config, key) {
    const { status, headers } = await ask(host, config, { method: 'HEAD', name: nameIn(config, requireKey(key)) })
    if (status !== 200) return null
    const modified_at = new Date(headers['last-modified'] ?? 0).toISOString()
    return { key, size_bytes: Number(headers['content-length']), modified_at }
  },

  list: (host, config, prefix, page = {}) => keysIn(host, config, prefix, page),

  async remove(host, config, key) {
    await requireCurrent()
    await ask(host, config, { method: 'DELETE', name: nameIn(config, requireKey(key)) })
  },

  async sweep(host, config, before) {
    const old = (await unfinishedUploads(host, config)).filter(({ begun }) => begun < before)
    for (const { name, id } of old) await abort(host, config, name, id)
    return old.length
  },
}

/** Holds objects in a bucket of a store that speaks S3, and no disks. The bucket is there already. */
export const s3: PoolDriver<'s3'> = {
  nodesOf: ({ nodes }) => nodes ?? null,
  placeOf: ({ endpoint, bucket, prefix }) => `s3:${endpoint}/${bucket}${prefix === null ? '' : `/${prefix}`}`,
  capabilitiesOf: () => ({
    formats: [],
    default_format: null,
    snapshots: false,
    linked_clones: false,
    linked_clone_format: null,
    linked_clones_pinned: false,
    live_clones: false,
    send: false,
    shared: true,
    live_resize: false,
    objects: true,
  }),

  async prepare(_site, _id, given) {
    const { nodes = null, prefix = null, region = 'us-east-1', ca = null } = given
    return { ...given, endpoint: new URL(given.endpoint).origin, nodes, prefix, region, ca }
  },

  async create(host, config) {
    await putMarker(host, config, randomUUID())
    // Content that is written once depends on this condition, and some stores take no notice of it.
    if (await putMarker(host, config, randomUUID()))
      throw new ConflictError(
        `${config.endpoint} takes no notice of If-None-Match: objects could replace one another there`,
      )
    const identity = await readMarker(host, config)
    if (identity !== null) return identity
    throw new ConflictError(`${config.endpoint}/${config.bucket} has a damaged marker ${nameIn(config, markerName)}`)
  },

  identify: readMarker,

  async remove(host, config) {
    if ((await keysIn(host, config, '', { limit: 1 })).objects.length > 0) return
    await ask(host, config, { method: 'DELETE', name: nameIn(config, markerName) })
  },

  async usage(host, config) {
    if ((await readMarker(host, config)) === null)
      throw new NotFoundError(`Storage pool ${s3.placeOf(config)} not found: it has no marker`)
    let [bytes, token]: [number | null, string | null] = [0, '']
    for (let page = 0; page < countedPages && token !== null; page++) {
      const found = await listPage(host, config, '', { after: token, limit: 1000 })
      bytes += found.objects.reduce((sum, { size_bytes }) => sum + size_bytes, 0)
      token = found.next
    }
    if (token !== null) bytes = null
    return {
      capacity_bytes: null,
      available_bytes: null,
      fills: [],
      figures: { ...unknownFigures, referenced_bytes: bytes, freed_if_deleted_bytes: bytes, source: 'ListObjectsV2' },
    }
  },

  objects,
}
