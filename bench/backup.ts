import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { fillDisk } from '../services/storage/backups/nbd/fill-disk.ts'
import { withImage } from '../services/storage/backups/nbd/open-image.ts'
import { scanDisk } from '../services/storage/backups/nbd/scan-disk.ts'
import { readCatalog } from '../services/storage/backups/store/catalog.ts'
import { encryptionWith } from '../services/storage/backups/store/encryption.ts'
import { encryptedObjects, type Objects, objectsOf } from '../services/storage/backups/store/objects.ts'
import { packWriter } from '../services/storage/backups/store/pack-writer.ts'
import { dir } from '../services/storage/drivers/dir/dir.ts'
import { repository } from '../test/lab/repository.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const [MiB, rounds] = [2 ** 20, 3]
const dataBytes = 384 * MiB

/** A first backup, a second one and a restore of a raw disk with real files in it, against zstd on the same bytes. */
export async function benchBackup(): Promise<Row[]> {
  const host = localHost()
  const folder = await mkdtemp(join(tmpdir(), 'horcrux-bench-backup-'))
  const { signal } = new AbortController()
  const sh = (script: string, ...words: string[]) =>
    host.runChecked('bash', ['-c', script, 'bash', ...words], { timeoutMs: Infinity })
  const [image, packed] = [join(folder, 'disk.raw'), join(folder, 'disk.zst')]
  const restored = join(folder, 'restored.raw')
  const imageAt = (path: string) => ({ source: { type: 'file' as const, path }, format: 'raw' })
  const digest = async (path: string) => {
    const hash = createHash('sha256')
    const reading = await host.spawn('cat', [path])
    for await (const piece of reading.stdout as AsyncIterable<Buffer>) hash.update(piece)
    return hash.digest('hex')
  }
  try {
    // The packages of this checkout, and as much of holes behind them.
    const fill = 'set -o pipefail; tar -C "$1" -cf - node_modules 2>/dev/null | head -c "$2" >"$3" || true'
    await sh(`${fill}; truncate -s "$4" "$3"`, repository, String(dataBytes), image, String(2 * dataBytes))
    const times = { zstd: [], first: [], again: [], encrypted: [], unzstd: [], restore: [] } as Record<string, number[]>
    const storeAt = (name: string) => objectsOf(dir.objects!, host, { node: 'local', path: join(folder, name) })
    const save = async (objects: Objects) => {
      const writer = packWriter(objects, await readCatalog(objects))
      const reading = { isWritten: false, signal }
      const work = { signal, encryption: objects.encryption, onChunk: writer.add }
      const { chunks } = await withImage(host, imageAt(image), reading, (open) => scanDisk(open, work))
      await writer.finish()
      return chunks
    }
    for (let round = 0; round < rounds; round++) {
      const objects = storeAt(`store-${round}`)
      times['zstd']!.push(await timed(() => sh('zstd -1 -T2 -q -f "$1" -o "$2" && sync "$2"', image, packed)))
      let chunks: Awaited<ReturnType<typeof save>> = []
      times['first']!.push(await timed(async () => (chunks = await save(objects))))
      times['again']!.push(await timed(() => save(objects)))
      const encrypted = encryptedObjects(storeAt(`encrypted-${round}`), encryptionWith(randomBytes(32)))
      times['encrypted']!.push(await timed(() => save(encrypted)))
      await rm(join(folder, `encrypted-${round}`), { recursive: true })
      times['unzstd']!.push(await timed(() => sh('zstd -d -q -f "$1" -o "$2" && sync "$2"', packed, restored)))
      await sh('rm -f "$1"; truncate -s "$2" "$1"', restored, String(2 * dataBytes))
      const restore = async () => {
        const store = { objects, catalog: await readCatalog(objects) }
        const working = { signal, onProgress: () => undefined }
        const how = { isWritten: true, signal }
        await withImage(host, imageAt(restored), how, (open) => fillDisk(open, store, chunks, working))
        // Every restore is read again.
        await withImage(host, imageAt(restored), { isWritten: false, signal }, (open) =>
          scanDisk(open, { signal, encryption: objects.encryption }),
        )
      }
      times['restore']!.push(await timed(restore))
      if ((await digest(image)) !== (await digest(restored))) throw new Error('The restored disk is another one')
      await rm(join(folder, `store-${round}`), { recursive: true })
    }
    const of = (name: string) => median(times[name]!)
    return [
      { what: 'zstd -1 -T2 of 384 MiB in a disk of 768 MiB', value: of('zstd'), unit: 'ms' },
      { what: 'first backup', value: of('first'), unit: 'ms' },
      { what: 'first backup against zstd -1 -T2', value: of('first') / of('zstd'), unit: 'x', below: 1.3 },
      {
        what: 'second backup, nothing changed, against the first',
        value: of('again') / of('first'),
        unit: 'x',
        below: 1,
      },
      {
        what: 'first backup to an encrypted store against one in clear',
        value: of('encrypted') / of('first'),
        unit: 'x',
        below: 1.3,
      },
      { what: 'restore, written and read again', value: of('restore'), unit: 'ms' },
      { what: 'restore against zstd -d', value: of('restore') / of('unzstd'), unit: 'x' },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
