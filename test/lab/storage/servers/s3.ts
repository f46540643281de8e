import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { GivenConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { ask } from '../../../../services/storage/drivers/s3/client.ts'
import { s3 } from '../../../../services/storage/drivers/s3/s3.ts'
import { startCeph } from '../ceph.ts'

const script = join(import.meta.dirname, 's3.sh')
const machine = localHost()
let count = 0

/** Programs that this machine lacks for a store. */
export const missingForS3 = async (): Promise<string[]> =>
  (await machine.runChecked('bash', [script, 'needs'])).stdout.split('\n').filter(Boolean)

/** Starts the store of this run, or finds it. It ends with the run. @returns the request of a storage pool in a new bucket */
export async function startS3(): Promise<() => Promise<GivenConfig<'s3'>>> {
  const { dir, pid } = inject('run')
  await startCeph()
  const folder = join(dir, 's3')
  const words = [script, 'up', folder, String(pid), join(dir, 'ceph')]
  await machine.runChecked('bash', words, { timeoutMs: 180_000 })
  const text = (name: string) => readFile(join(folder, name), 'utf8')
  const user = JSON.parse(await text('user.json')) as { keys: { access_key: string; secret_key: string }[] }
  const { access_key, secret_key } = user.keys[0]!
  const endpoint = `https://127.0.0.1:${(await text('port')).trim()}`
  const ca = await text('cert.pem')
  return async () => {
    const bucket = `b${process.pid}-${Date.now().toString(36)}-${count++}`
    const given = { endpoint, bucket, access_key, secret_key, ca }
    const site = { host: machine, folders: { allowed_paths: [], state_dir: '/nowhere' } }
    await ask(machine, await s3.prepare(site, 'bucket', given), { method: 'PUT' })
    return given
  }
}
