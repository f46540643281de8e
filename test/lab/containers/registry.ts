import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { repository } from '../repository.ts'
import { until } from '../wait.ts'
import type { LabEngines } from './start.ts'

export type Registry = {
  /** Such as `127.0.0.1:5001`, as the engines see it. */
  address: string
  /** The one that asks for `me` and the password. */
  privateAddress: string
  /** The lines that it has printed. */
  heard: () => string[]
  stop: () => Promise<void>
}

/** A registry in the network of the engines; registry-server.ts tells what it has. */
export async function startRegistry({ dir, archive }: LabEngines, password: string): Promise<Registry> {
  const pid = (await readFile(join(dir, 'inside'), 'utf8')).trim()
  const server = join(repository, 'test/lab/containers/registry-server.ts')
  const words = ['--net', `--target=${pid}`, 'setpriv', '--pdeathsig', 'KILL', process.execPath, server, archive]
  const child = await localHost().spawn('nsenter', words, { env: { REGISTRY_PASSWORD: password } })
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += part.toString()))
  const [, port, other] = await until(() => /^ports (\d+) (\d+)$/m.exec(text), { what: 'the registry' })
  return {
    address: `127.0.0.1:${port}`,
    privateAddress: `127.0.0.1:${other}`,
    heard: () => text.split('\n'),
    stop: child.kill,
  }
}
