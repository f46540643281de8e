import { readdirSync, readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { NatsConnection } from 'nats'
import { type Deployment, keysIn } from '../product/deployment.ts'
import type { Recorder } from './recorder.ts'

/** The texts where secrets could be, by the name of the place. */
export type Places = Record<string, string>

/** All that every process of a deployment has said. */
export const logsOf = ({ nats, store, services, gateways }: Deployment): Places =>
  Object.fromEntries(
    [nats, store, ...services, ...gateways].map(({ name, said }) => [`the log of ${name}`, said().join('\n')]),
  )

/** Every message of every stream and bucket of the bus. */
export async function streamsOf(nats: NatsConnection): Promise<Places> {
  const manager = await nats.jetstreamManager()
  const places: Places = {}
  for await (const { config, state } of manager.streams.list()) {
    const lines: string[] = []
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage(config.name, { seq }).catch(() => undefined)
      if (message) lines.push(`${message.subject} ${message.string()}`)
    }
    places[`the stream ${config.name}`] = lines.join('\n')
  }
  return places
}

/** A deployment's files; the identities' secrets are there by design. */
export async function filesOf({ dir }: Deployment): Promise<Places> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(keysIn(dir)))
    .map(({ parentPath, name }) => join(parentPath, name))
  return Object.fromEntries(
    await Promise.all(
      // One character for each byte, so that text can be found in a file of any format.
      files.map(async (file) => [`the file ${relative(dir, file)}`, await readFile(file, 'latin1')] as const),
    ),
  )
}

/** The API's records: the audit, and the operations with their logs. */
export async function recordsOf({ ask }: Pick<Recorder, 'ask'>, token: string): Promise<Places> {
  const headers = { accept: 'application/x-ndjson' }
  const textOf = async (path: string) => {
    const { status, text } = await ask(`GET ${path}`, { token, headers })
    if (status !== 200) throw new Error(`${path} was answered ${status}: ${text}`)
    return text
  }
  const operations = await textOf('/api/operations')
  const ids = operations
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { id: string }).id)
  const logs = await Promise.all(ids.map((id) => textOf(`/api/operations/${id}/log`)))
  return {
    'the audit': await textOf('/api/audit/events'),
    "the audit's export": await textOf('/api/audit/export'),
    'the operations': [operations, ...logs].join('\n'),
  }
}

const textAt = (path: string) => {
  try {
    return readFileSync(path, 'latin1').replaceAll('\0', ' ')
  } catch {
    // Gone, or a thread of the kernel.
    return ''
  }
}

/** Looks again and again at how all processes of the machine were started, and with which environment. */
export function watchProcesses(everyMs = 100): { stop: () => Places } {
  const lines = new Set<string>()
  const environments = new Map<string, string>()
  const look = () => {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue
      const line = textAt(`/proc/${pid}/cmdline`)
      if (line !== '') lines.add(line)
      const name = `${pid} ${line}`
      if (environments.has(name)) continue
      const environment = textAt(`/proc/${pid}/environ`)
      // Unless it has become another program meanwhile.
      if (textAt(`/proc/${pid}/cmdline`) === line) environments.set(name, environment)
    }
  }
  const timer = setInterval(look, everyMs)
  return {
    stop: () => {
      look()
      clearInterval(timer)
      return {
        'the arguments of processes': [...lines].join('\n'),
        ...Object.fromEntries([...environments].map(([name, text]) => [`the environment of ${name}`, text])),
      }
    },
  }
}
