import { randomBytes } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Endpoints, endpointsFile, type Secrets, secretsFile } from '#shared/config/config.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/**
 * Makes the data folder. Others may traverse it (mode 0711), since guests can run as another user with disks below it;
 * secrets lie in folders of mode 0700.
 */
export async function makeDataFolder(host: Host, dataDir: string): Promise<void> {
  await host.mkdir(dataDir, { mode: 0o711 })
  for (const name of ['run', 'secrets', 'nats', 'store']) await host.mkdir(join(dataDir, name), { mode: 0o700 })
}

/** The state of the simulated fleet of a data folder: only `horcrux demo --fleet` makes it, and runs on such a folder. */
export const simulationFile = (dataDir: string): string => join(dataDir, 'simulation.sqlite')

/** Reads the secrets of this installation; makes and stores missing ones. */
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

/** Writes the addresses of this instance; null removes them. */
export async function writeEndpoints(host: Host, dataDir: string, endpoints: Endpoints | null): Promise<void> {
  if (endpoints) await writeJson(host, endpointsFile(dataDir), endpoints)
  else await host.remove(endpointsFile(dataDir))
}

/**
 * Reads a JSON object from a file; `{}` if the file does not exist. Throws on a damaged file, because a new secret
 * would lock all users out.
 */
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

/** A free TCP port on loopback: the one of the last start if possible, so that other processes find it again. */
export async function rememberPort(host: Host, dataDir: string, name: 'nats' | 'store'): Promise<number> {
  const file = join(dataDir, 'run', 'ports.json')
  const ports = await readJson<Record<string, number>>(host, file).catch(() => ({}) as Record<string, number>)
  const port = await freePort(ports[name] ?? 0)
  await writeJson(host, file, { ...ports, [name]: port })
  return port
}

/** A free TCP port on loopback: the wanted one if it is free; 0 for any. */
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
