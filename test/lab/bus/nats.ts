import { randomBytes } from 'node:crypto'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'nats'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { until } from '../wait.ts'

/** A NATS server of the lab. `url` has no credentials in it. */
export type LabNats = { url: string; user: string; password: string }

const machine = localHost()

/** Programs that this machine lacks for a NATS server. */
export async function missingForNats(): Promise<string[]> {
  return (await machine.which('nats-server')) ? [] : ['nats-server (Debian: nats-server)']
}

/**
 * Starts a NATS server with JetStream and a password, on a free port of loopback, with its store in `dir`. It ends with
 * this process, whatever way that ends. `stop` removes `dir`.
 */
export async function startNats(dir: string): Promise<LabNats & { stop: () => Promise<void> }> {
  const credentials = { user: 'horcrux', password: randomBytes(16).toString('hex') }
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const config = {
    listen: '127.0.0.1:-1',
    ports_file_dir: dir,
    jetstream: { store_dir: join(dir, 'store') },
    authorization: credentials,
  }
  await writeFile(join(dir, 'nats.conf'), JSON.stringify(config), { mode: 0o600 })
  const words = ['--pdeathsig', 'KILL', 'nats-server', '-c', join(dir, 'nats.conf')]
  const server = await machine.spawn('setpriv', words)
  server.stdout.resume()
  const stop = async () => {
    await server.kill()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    const died = server.exit.then(({ stderr }) => Promise.reject(new Error(`nats-server ended: ${stderr}`)))
    const url = await Promise.race([died, until(() => portOf(dir), { what: 'nats-server' })])
    await Promise.race([died, until(() => hasJetStream(url, credentials), { what: 'JetStream' })])
    return { url, ...credentials, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** nats-server writes its addresses to `<program>_<pid>.ports` once it listens. */
async function portOf(dir: string): Promise<string | null> {
  const file = (await readdir(dir)).find((name) => name.endsWith('.ports'))
  if (!file) return null
  const { nats } = JSON.parse(await readFile(join(dir, file), 'utf8')) as { nats: string[] }
  return nats[0] ?? null
}

async function hasJetStream(url: string, credentials: { user: string; password: string }): Promise<boolean> {
  const connection = await connect({ servers: url, user: credentials.user, pass: credentials.password })
  try {
    await (await connection.jetstreamManager()).getAccountInfo()
    return true
  } finally {
    await connection.close()
  }
}
