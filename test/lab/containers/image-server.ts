import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { arch } from 'node:os'
import { pack } from 'tar-stream'

/**
 * An image server (Simplestreams, "products:1.0", as LXD and Incus read it). The alias decides what becomes of a download:
 * `good/N` has both files, `late/N` refuses the second one, `hanging/N` stops in its middle; N is a number below 4. Prints
 * `ready`, and a line when a file hangs.
 * Arguments: an archive of a root file system, a PEM file with key and certificate, and a port.
 */
const [archive = '', pemFile = '', port = ''] = process.argv.slice(2)
const kinds = ['good', 'late', 'hanging']
const names = kinds.flatMap((kind) => [0, 1, 2, 3].map((number) => `${kind}/${number}`))
const architecture = arch() === 'arm64' ? { server: 'arm64', kernel: 'aarch64' } : { server: 'amd64', kernel: 'x86_64' }

const sha256 = (...parts: Buffer[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex')

/** The description differs for each name, and with it the fingerprint of the image. */
async function metadataOf(description: string): Promise<Buffer> {
  const tar = pack()
  const text = JSON.stringify({ architecture: architecture.kernel, creation_date: 1, properties: { description } })
  tar.entry({ name: 'metadata.yaml', mtime: new Date(0) }, text)
  tar.finalize()
  const parts: Buffer[] = []
  for await (const part of tar as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts)
}

const root = await readFile(archive)
const files = new Map<string, Buffer>()

async function productOf(name: string): Promise<object> {
  const metadata = await metadataOf(name)
  const itemOf = (type: string, bytes: Buffer, more: object = {}) => {
    const path = `images/${name}/${type}`
    files.set(`/${path}`, bytes)
    return { ftype: type, path, size: bytes.length, sha256: sha256(bytes), ...more }
  }
  const combined = sha256(metadata, root)
  const items = {
    'lxd.tar.xz': itemOf('lxd.tar.xz', metadata, { combined_rootxz_sha256: combined }),
    'incus.tar.xz': itemOf('incus.tar.xz', metadata, { combined_rootxz_sha256: combined }),
    // Engines look into a file for its compression; this one has none.
    'root.tar.xz': itemOf('root.tar.xz', root),
  }
  return {
    aliases: name,
    arch: architecture.server,
    os: 'Tiny',
    release: name,
    release_title: name,
    versions: { '20260101_00:00': { items } },
  }
}

const products = Object.fromEntries(
  await Promise.all(names.map(async (name) => [`tiny:${name}:${architecture.server}`, await productOf(name)])),
) as Record<string, object>
const content = { format: 'products:1.0', datatype: 'image-downloads', path: 'streams/v1/images.json' }
const pages = new Map<string, object>([
  [
    '/streams/v1/index.json',
    { format: 'index:1.0', index: { images: { ...content, products: Object.keys(products) } } },
  ],
  ['/streams/v1/images.json', { ...content, content_id: 'images', products }],
])

function answer({ url = '', method }: IncomingMessage, response: ServerResponse): void {
  const page = pages.get(url)
  const bytes = page ? Buffer.from(JSON.stringify(page)) : files.get(url)
  const isSecond = url.endsWith('root.tar.xz')
  if (!bytes || (isSecond && url.startsWith('/images/late/'))) return void response.writeHead(404).end()
  response.writeHead(200, { 'content-length': bytes.length })
  if (method === 'HEAD') return void response.end()
  if (!isSecond || !url.startsWith('/images/hanging/')) return void response.end(bytes)
  response.write(bytes.subarray(0, bytes.length / 2))
  process.stdout.write('hanging\n')
}

const pem = await readFile(pemFile)
createServer({ key: pem, cert: pem }, answer).listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'))
