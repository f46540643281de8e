import { type ConnectionOptions, nkeyAuthenticator } from 'nats'
import { config } from '#shared/config/config.ts'
import { keptSeed } from './keys.ts'
import { inboxPrefix } from './subjects.ts'

/**
 * Connection options with the identity of the process: the user of NATS_URL, or the secret of NATS_NKEY, or the secret
 * that `npm start` stores in HORCRUX_DATA. Reconnects for ever.
 */
export function connectionOf(name: string): ConnectionOptions {
  const { natsUrl, natsNkey, dataDir } = config()
  if (!natsUrl) throw new Error('NATS_URL is not set and no running Horcrux was found in HORCRUX_DATA')
  const urls = natsUrl.split(',').map((url) => new URL(url))
  const { username, password } = urls[0]!
  const seed = natsNkey ?? (username ? undefined : keptSeed(dataDir, name))
  return {
    servers: urls.map(({ host }) => host),
    ...(username && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
    ...(seed !== undefined && { authenticator: nkeyAuthenticator(Buffer.from(seed)) }),
    name,
    inboxPrefix: inboxPrefix(name),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    waitOnFirstConnect: true,
    pingInterval: 2000,
    maxPingOut: 2,
  }
}
