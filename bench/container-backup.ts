import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { saveArchive } from '../services/storage/backups/containers/save-archive.ts'
import { objectsOf } from '../services/storage/backups/store/objects.ts'
import { dir } from '../services/storage/drivers/dir/dir.ts'
import { repository } from '../test/lab/repository.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const [MiB, rounds] = [2 ** 20, 3]

/**
 * Backups of the root file system of a container: a tar archive of the packages of this checkout, which is what `docker
 * export` would give, against the same archive through zstd.
 */
export async function benchContainerBackup(): Promise<Row[]> {
  const host = localHost()
  const folder = await mkdtemp(join(tmpdir(), 'horcrux-bench-container-backup-'))
  const [root, packed] = [join(folder, 'root'), join(folder, 'root.tar.zst')]
  const sh = (script: string, ...words: string[]) =>
    host.runChecked('bash', ['-c', `set -o pipefail; ${script}`, 'bash', ...words], { timeoutMs: Infinity })
  const working = {
    signal: new AbortController().signal,
    pace: async () => undefined,
    onProgress: () => undefined,
  }
  try {
    await sh('mkdir "$2" && cp -a "$1/node_modules" "$2/srv" && sync', repository, root)
    const times: Record<string, number[]> = { zstd: [], first: [], again: [] }
    const bytes: Record<string, number> = {}
    for (let round = 0; round < rounds; round++) {
      const objects = objectsOf(dir.objects!, host, { node: 'local', path: join(folder, `store-${round}`) })
      const save = async () => {
        const { stdout } = await host.spawn('tar', ['-C', root, '--sort=name', '-cf', '-', '.'])
        return saveArchive(objects, stdout as AsyncIterable<Buffer>, working)
      }
      times['zstd']!.push(
        await timed(() => sh('tar -C "$1" --sort=name -cf - . | zstd -1 -T2 -q -f -o "$2" && sync "$2"', root, packed)),
      )
      times['first']!.push(await timed(async () => (bytes['all'] = (await save()).size_bytes)))
      times['again']!.push(await timed(async () => (bytes['same'] = (await save()).new_bytes)))
      // A file before all others moves everything behind it.
      await sh('head -c 100000 /dev/urandom >"$1/a-first-file"', root)
      bytes['changed'] = (await save()).new_bytes
      await rm(join(root, 'a-first-file'))
      await rm(join(folder, `store-${round}`), { recursive: true })
    }
    const of = (name: string) => median(times[name]!)
    return [
      { what: `tar | zstd -1 -T2 of ${Math.round(bytes['all']! / MiB)} MiB of files`, value: of('zstd'), unit: 'ms' },
      { what: 'first backup', value: of('first'), unit: 'ms' },
      { what: 'first backup against tar | zstd -1 -T2', value: of('first') / of('zstd'), unit: 'x' },
      {
        what: 'second backup, nothing changed, against the first',
        value: of('again') / of('first'),
        unit: 'x',
        below: 1,
      },
      { what: 'new bytes of it', value: bytes['same']! / MiB, unit: 'MiB', below: 0.1 },
      {
        what: 'new bytes with one more file before all others',
        value: bytes['changed']! / MiB,
        unit: 'MiB',
        below: 16,
      },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
