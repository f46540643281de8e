import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'

/**
 * A registry of images (Distribution API v2), whose names decide what becomes of a pull: `good/…` has both layers,
 * `late/…` refuses the last one, and `hanging/…` stops in the middle of it. A second port asks for the user `me` and the
 * password of the environment. Prints its ports, and a line when a blob hangs.
 * Argument: an archive of a root file system, the first layer.
 */
const ports = [5001, 5002, 5003, 5004, 5005, 5006, 5007, 5008]
const password = process.env['REGISTRY_PASSWORD'] ?? ''

const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

async function tarOf(name: string, bytes: Buffer): Promise<Buffer> {
  const archive = pack()
  archive.entry({ name, mtime: new Date(0) }, bytes)
  archive.finalize()
  const parts: Buffer[] = []
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts)
}

/** Bytes that do not compress, others for each image: engines do not pull a layer that they have. */
const noiseOf = (image: string) =>
  Buffer.concat(Array.from({ length: 16_384 }, (_, index) => createHash('sha512').update(`${image} ${index}`).digest()))

const mediaType = 'application/vnd.docker.distribution.manifest.v2+json'
const partOf = (type: string, bytes: Buffer) => ({
  mediaType: `application/vnd.docker.${type}`,
  size: bytes.length,
  digest: digestOf(bytes),
})

const system = await readFile(process.argv[2] ?? '')
const first = gzipSync(system, { level: 1 })
/** All blobs by their digests. */
const blobs = new Map([[digestOf(first), first]])
const manifests = new Map<string, Promise<Buffer>>()
/** The digests of last layers. */
const lasts = new Set<string>()

async function makeImage(image: string): Promise<Buffer> {
  const tar = await tarOf('noise', noiseOf(image))
  const last = gzipSync(tar, { level: 1 })
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: { Cmd: ['/sbin/init'], Env: ['PATH=/bin:/sbin'] },
      rootfs: { type: 'layers', diff_ids: [digestOf(system), digestOf(tar)] },
      history: [{ created_by: 'one' }, { created_by: 'two' }],
    }),
  )
  for (const blob of [config, last]) blobs.set(digestOf(blob), blob)
  lasts.add(digestOf(last))
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: partOf('container.image.v1+json', config),
      layers: [first, last].map((layer) => partOf('image.rootfs.diff.tar.gzip', layer)),
    }),
  )
}

function manifestOf(image: string): Promise<Buffer> {
  const known = manifests.get(image) ?? makeImage(image)
  manifests.set(image, known)
  return known
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(status === 401 && { 'www-authenticate': 'Basic realm="test"' }),
  })
  response.end(JSON.stringify({ errors: [{ code, message }] }))
}

async function sendManifest(kind: string, reference: string, isHead: boolean, response: ServerResponse) {
  const known = (await Promise.all(manifests.values())).find((each) => digestOf(each) === reference)
  const manifest = known ?? (await manifestOf(`${kind} ${reference}`))
  response.writeHead(200, {
    'content-type': mediaType,
    'docker-content-digest': digestOf(manifest),
    'content-length': manifest.length,
  })
  response.end(isHead ? undefined : manifest)
}

function sendBlob(kind: string, digest: string, isHead: boolean, response: ServerResponse): void {
  const blob = blobs.get(digest)
  if (!blob) return refuse(response, 404, 'BLOB_UNKNOWN', 'no such blob')
  const isLast = lasts.has(digest)
  if (kind === 'late' && isLast) return refuse(response, 403, 'DENIED', 'not the last layer')
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': blob.length })
  if (isHead) return void response.end()
  if (kind !== 'hanging' || !isLast) return void response.end(blob)
  response.write(blob.subarray(0, blob.length / 2))
  process.stdout.write('hanging\n')
}

function answer({ url = '', headers, method }: IncomingMessage, response: ServerResponse, isPrivate: boolean): void {
  response.setHeader('docker-distribution-api-version', 'registry/2.0')
  const wanted = `Basic ${Buffer.from(`me:${password}`).toString('base64')}`
  if (isPrivate && headers.authorization !== wanted) return refuse(response, 401, 'UNAUTHORIZED', 'who are you')
  const [, kind = '', what, reference = ''] = /^\/v2\/(\w+)\/[^/]+\/(manifests|blobs)\/(.+)$/.exec(url) ?? []
  const isHead = method === 'HEAD'
  if (what === 'manifests') void sendManifest(kind, reference, isHead, response)
  else if (what === 'blobs') sendBlob(kind, reference, isHead, response)
  else response.writeHead(200).end()
}

/** Listens on the next free port. */
async function listen(isPrivate: boolean): Promise<number> {
  const server = createServer((request, response) => answer(request, response, isPrivate))
  for (const port of ports) {
    server.listen(port, '127.0.0.1')
    const isOpen = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false),
    ]).catch(() => false)
    if (isOpen) return port
  }
  throw new Error(`All of the ports ${ports.join(', ')} are taken`)
}

process.stdout.write(`ports ${await listen(false)} ${await listen(true)}\n`)
