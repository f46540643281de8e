import { AsyncLocalStorage } from 'node:async_hooks'
import pino, { type Logger } from 'pino'
import { config } from '#shared/config/config.ts'

/** Fields that every line of a request or an operation carries. */
export const logFields = new AsyncLocalStorage<Record<string, string>>()

/** Names of fields whose values are not logged. */
export const secretFields = [
  'token_secret',
  'device_code',
  'guest_state',
  'compose_file',
  'password',
  'old_password',
  'new_password',
  'plain_password',
  'token',
  'secret',
  'private_key',
  'key',
  'secret_key',
  'cookie',
  'authorization',
  'totp',
  'passphrase',
  'credential',
  'ticket',
  'websocket_path',
  'recovery_codes',
]

function destinations() {
  const { logPath, logRotation } = config()
  const terminal = process.stdout.isTTY
    ? { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss' } }
    : { target: 'pino/file', options: { destination: 1 } }
  const file = {
    target: 'pino-roll',
    options: { file: logPath, frequency: logRotation, mkdir: true, limit: { count: 14 } },
  }
  return logPath ? [terminal, file] : [terminal]
}

let root: Logger | undefined

function makeRoot(): Logger {
  const { logLevel, logPath } = config()
  const options = {
    level: logLevel,
    mixin: () => logFields.getStore() ?? {},
    redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[secret]' },
  }
  // Transports run in threads, which cost start-up time; plain JSON to standard output needs none.
  if (!logPath && !process.stdout.isTTY) return pino(options)
  return pino({ ...options, transport: { targets: destinations() } })
}

/** A logger for one part of the product: JSON lines on standard output, readable text on a terminal, secrets redacted. */
export function log(part: string): Logger {
  root ??= makeRoot()
  return root.child({ part })
}
