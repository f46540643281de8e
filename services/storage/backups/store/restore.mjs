// Restores disks from this backup store without Horcrux. It needs Node.js 22.15 or newer, and nothing else.
//   node restore.mjs                                    lists the backups
//   node restore.mjs backups/VM/FILE.json               lists the disks of a backup
//   node restore.mjs backups/VM/FILE.json vda disk.raw  writes a disk as a raw image, with its holes
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, ftruncateSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zstdDecompressSync } from 'node:zlib'

const store = dirname(fileURLToPath(import.meta.url))
const [manifestPath, diskId, target] = process.argv.slice(2)
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const filesBelow = (folder) => readdirSync(join(store, folder), { recursive: true, withFileTypes: true })
const fail = (message) => {
  console.error(message)
  process.exit(1)
}

/** Reads bytes of a file; a negative offset counts from its end. */
function read(file, offset, length) {
  const bytes = Buffer.alloc(length)
  readSync(file, bytes, 0, length, offset < 0 ? fstatSync(file).size + offset : offset)
  return bytes
}

if (!manifestPath) {
  for (const entry of filesBelow('backups'))
    if (entry.isFile() && entry.name.endsWith('.json')) console.log(join(entry.parentPath, entry.name))
  process.exit(0)
}
const manifest = JSON.parse(readFileSync(resolve(manifestPath), 'utf8'))
if (!target) {
  for (const { id, size_bytes } of manifest.disks) console.log(`${id}  ${size_bytes} bytes`)
  process.exit(0)
}
const disk = manifest.disks.find(({ id }) => id === diskId) ?? fail(`The backup has no disk ${diskId}`)

// Each pack ends with a table of its chunks: 32 bytes of SHA-256, length of the frame, length of the chunk.
const places = new Map()
for (const entry of filesBelow('packs')) {
  if (!entry.isFile() || !/^[0-9a-f]{64}$/.test(entry.name)) continue
  const path = join(entry.parentPath, entry.name)
  const file = openSync(path)
  const length = read(file, -12, 12).readUInt32LE(0)
  const table = read(file, -12 - length, length)
  closeSync(file)
  if (sha256(table) !== entry.name) console.error(`${path} is damaged; it is left out`)
  else
    for (let at = 0, offset = 0; at < length; at += 40) {
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
      const chunk = zstdDecompressSync(read(file, offset, length))
      if (sha256(chunk) === id) return chunk
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
let index = 0
for (const each of disk.chunks)
  if (typeof each === 'number') index += each
  else writeSync(out, readChunk(each), 0, undefined, index++ * manifest.chunk_bytes)
closeSync(out)
console.log(`${diskId} of ${manifest.vm_name} at ${manifest.taken_at}: ${disk.size_bytes} bytes in ${target}`)
