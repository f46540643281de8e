// Restores disks from this backup store without Horcrux. It needs Node.js 22.15, 23.8 or newer, and nothing else.
//   node restore.mjs                                    lists the backups
//   node restore.mjs backups/VM/FILE.json               lists the disks of a backup
//   node restore.mjs backups/VM/FILE.json vda disk.raw  writes a disk as a raw image, with its holes
//   node restore.mjs backups/ID/FILE.json root root.tar writes files of a container as a tar archive
// An encrypted store is opened with a file of identities of age: node restore.mjs -i identity.txt backups/VM/FILE.json …
import { createHash } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  writeSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import zlib from 'node:zlib'

const store = dirname(fileURLToPath(import.meta.url))
const options = { identities: { type: 'string', short: 'i' } }
const { values, positionals } = parseArgs({ options, allowPositionals: true })
const [manifestPath, diskId, target] = positionals
const sha256 = (bytes) => createHash('sha256').update(bytes).digest()
const filesBelow = (folder) => readdirSync(join(store, folder), { recursive: true, withFileTypes: true })
const fail = (message) => {
  console.error(message)
  process.exit(1)
}
if (!zlib.zstdDecompressSync) fail(`Node.js ${process.versions.node} has no zstd: use 22.15, 23.8 or newer`)

/** Reads bytes of a file; a negative offset counts from its end. */
function read(file, offset, length) {
  const bytes = Buffer.alloc(length)
  readSync(file, bytes, 0, length, offset < 0 ? fstatSync(file).size + offset : offset)
  return bytes
}

/** How content is decrypted, and chunks are named. */
async function openStore() {
  const { encryption } = JSON.parse(readFileSync(join(store, 'config.json'), 'utf8'))
  if (!encryption) return { idOf: (digest) => digest.toString('hex'), decrypt: (_, bytes) => bytes }
  if (!values.identities) fail('The store is encrypted: give a file of identities of age with -i')
  const { openKey } = await import('./open-key.mjs')
  try {
    const file = readFileSync(join(store, encryption.key_file))
    return openKey(file, readFileSync(values.identities, 'utf8'), encryption.key_id)
  } catch (error) {
    return fail(error.message)
  }
}

if (!manifestPath) {
  for (const entry of filesBelow('backups'))
    if (entry.isFile() && entry.name.endsWith('.json')) console.log(join(entry.parentPath, entry.name))
  process.exit(0)
}
const { idOf, decrypt } = await openStore()

function readManifest(path) {
  const bytes = readFileSync(path)
  try {
    // Its content is bound to its place in the store.
    return JSON.parse(decrypt(relative(store, realpathSync(path)), bytes).toString('utf8'))
  } catch (error) {
    return fail(`${path} is damaged, or was moved: ${error.message}`)
  }
}

const manifest = readManifest(resolve(manifestPath))
/** Disks of a virtual machine, or archives of a container. */
const parts = manifest.disks ?? manifest.archives
if (!target) {
  for (const { id, size_bytes, target: at } of parts) console.log(`${id}  ${size_bytes} bytes${at ? `  ${at}` : ''}`)
  process.exit(0)
}
const disk = parts.find(({ id }) => id === diskId) ?? fail(`The backup has no disk or archive ${diskId}`)

/** The table of a pack: 32 bytes of the id of each chunk, length of its frame, length of the chunk. */
function readTable(path, id) {
  const file = openSync(path)
  try {
    const length = read(file, -12, 12).readUInt32LE(0)
    const table = decrypt(`packs/${id.slice(0, 2)}/${id}`, read(file, -12 - length, length))
    if (sha256(table).toString('hex') === id) return table
  } catch {
    // It is cut off, or its end has changed.
  } finally {
    closeSync(file)
  }
  console.error(`${path} is damaged; it is left out`)
  return Buffer.alloc(0)
}

const places = new Map()
for (const entry of filesBelow('packs')) {
  if (!entry.isFile() || !/^[0-9a-f]{64}$/.test(entry.name)) continue
  const path = join(entry.parentPath, entry.name)
  const table = readTable(path, entry.name)
  for (let at = 0, offset = 0; at < table.length; at += 40) {
    const frame = table.readUInt32LE(at + 32)
    const id = table.toString('hex', at, at + 32)
    places.set(id, [...(places.get(id) ?? []), { path, offset, length: frame }])
    offset += frame
  }
}

/** The first copy of a chunk that is whole. */
function readChunk(id) {
  for (const { path, offset, length } of places.get(id) ?? []) {
    const file = openSync(path)
    try {
      const chunk = zlib.zstdDecompressSync(decrypt(`chunk/${id}`, read(file, offset, length)))
      if (idOf(sha256(chunk)) === id) return chunk
    } catch {
      // Another pack may have it.
    } finally {
      closeSync(file)
    }
  }
  return fail(`Chunk ${id} of ${diskId} is missing or damaged: the disk cannot be restored`)
}

const out = openSync(target, 'wx')
ftruncateSync(out, disk.size_bytes)
let at = 0
for (const each of disk.chunks) {
  if (typeof each === 'number') {
    at += each * manifest.chunk_bytes
    continue
  }
  // Chunks of an archive have lengths of their own.
  const chunk = readChunk(each)
  writeSync(out, chunk, 0, undefined, at)
  at += chunk.length
}
closeSync(out)
console.log(
  `${diskId} of ${manifest.vm_name ?? manifest.container.name} at ${manifest.taken_at}: ${disk.size_bytes} bytes in ${target}`,
)
