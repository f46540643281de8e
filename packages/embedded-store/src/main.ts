import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { environmentSettings } from './settings.ts'
import { startEmbeddedStore, type StoreOptions } from './server.ts'

/**
 * The embedded store as a separate process. The first line of stdin is its configuration, so that no argument contains
 * the password: `{"folder": "…", "host": "127.0.0.1", "port": 0, "user": "…", "password": "…"}`. Missing fields come
 * from HORCRUX_STORE_FOLDER, _HOST, _PORT, _USER and _PASSWORD. It prints `{"port": …}` on stdout when it is ready. It
 * ends on SIGTERM and SIGINT. If it was configured by stdin, it also ends when stdin closes, as it does when the parent
 * dies. Flags that save memory: process.ts.
 */
const firstLine = async (lines: Interface): Promise<string> => {
  const { promise, resolve } = Promise.withResolvers<string>()
  lines.once('line', resolve)
  lines.once('close', () => resolve(''))
  return promise
}

const text = (value: unknown, name: string): string => {
  if (typeof value !== 'string' || value === '') throw new Error(`The embedded store is not told its ${name}`)
  return value
}

const readOptions = (line: string): StoreOptions => {
  const given = (line.trim() === '' ? {} : JSON.parse(line)) as Record<string, unknown>
  const { folder, host = '127.0.0.1', port = 0, user, password } = environmentSettings()
  return {
    dataDir: text(given['folder'] ?? folder, 'folder'),
    host: text(given['host'] ?? host, 'host'),
    port: Number(given['port'] ?? port),
    user: text(given['user'] ?? user, 'user'),
    password: text(given['password'] ?? password, 'password'),
  }
}

const main = async (): Promise<void> => {
  // what the store writes is for its own user alone
  process.umask(0o077)
  const lines = createInterface({ input: process.stdin })
  const line = await firstLine(lines)
  const parentGone = line === '' ? new Promise<never>(() => {}) : once(lines, 'close')
  const store = await startEmbeddedStore(readOptions(line))
  const stop = (): void => {
    store
      .stop()
      .then(() => process.exit(0))
      .catch(() => process.exit(1))
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  parentGone.then(stop, stop)
  store.failed.catch((error: unknown) => {
    process.stderr.write(`The embedded store has failed: ${String(error)}\n`)
    process.exit(1)
  })
  process.stdout.write(`${JSON.stringify({ port: store.port })}\n`)
}

if (import.meta.main)
  main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  })
