import { randomBytes } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Endpoints, endpointsFile, type Secrets, secretsFile } from '#shared/config/config.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/**
 * Makes the folder in which `npm start` keeps everything. Others may pass through it, since guests can run as a user of
 * their own and their disks may lie below; what is secret lies in folders that only we may enter.
 */
export async function makeDataFolder(host: Host, dataDir: string): Promise<void> {
  await host.mkdir(dataDir, { mode: 0o711 })
  for (const name of ['run', 'secrets', 'nats', 'store']) await host.mkdir(join(dataDir, name), { mode: 0o700 })
}

/** The secrets of this installation; those that are missing are made and kept. */
export async function keepSecrets(host: Host, dataDir: string): Promise<Secrets> {
  const file = secretsFile(dataDir)
  const kept = await readJson<Partial<Secrets>>(host, file)
  const secrets: Secrets = {
    jwt_secret: kept.jwt_secret ?? randomBytes(32).toString('base64url'),
    secret_key: kept.secret_key ?? randomBytes(32).toString('base64url'),
    mongodb_password: kept.mongodb_password ?? randomBytes(24).toString('base64url'),
  }
  if (Object.keys(secrets).some((name) => !(name in kept))) await writeJson(host, file, secrets)
  return secrets
}

/** Says how this instance is reached; `null` when it no longer is. */
export async function writeEndpoints(host: Host, dataDir: string, endpoints: Endpoints | null): Promise<void> {
  if (endpoints) await writeJson(host, endpointsFile(dataDir), endpoints)
  else await host.remove(endpointsFile(dataDir))
}

/** A JSON file's object; `{}` when there is no such file. A damaged one throws: a new secret would lock everything out. */
export async function readJson<T extends object>(host: Host, file: string): Promise<T> {
  if (!(await host.stat(file))) return {} as T
  const text = (await host.readFile(file)).toString()
  try {
    return JSON.parse(text) as T
  } catch (error) {
    throw new Error(`${file} is damaged: ${(error as Error).message}`, { cause: error })
  }
}

function writeJson(host: Host, file: string, value: object) {
  return host.writeFile(file, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 })
}

/** A free TCP port of loopback: the one of last time where that is possible, so that others find it again. */
export async function rememberPort(host: Host, dataDir: string, name: 'nats' | 'store'): Promise<number> {
  const file = join(dataDir, 'run', 'ports.json')
  const ports = await readJson<Record<string, number>>(host, file).catch(() => ({}) as Record<string, number>)
  const port = await freePort(ports[name] ?? 0)
  await writeJson(host, file, { ...ports, [name]: port })
  return port
}

/** A free TCP port of loopback, the wanted one if it is free; 0 wants none. */
export function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => (wanted === 0 ? reject(error) : resolve(freePort(0))))
    server.listen({ host: '127.0.0.1', port: wanted, exclusive: true }, () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
