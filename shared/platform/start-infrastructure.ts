import { type Config, setConfig } from '#shared/config/config.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { log } from '#shared/runtime/log.ts'
import { type Accelerator, accelerator } from '#shared/nodes/accelerator.ts'
import { install, packagesOf } from './apt.ts'
import { keepSecrets, writeEndpoints } from './data-folder.ts'
import { startEmbeddedBus } from './embedded-bus.ts'
import { startEmbeddedStore } from './embedded-store.ts'
import { ensureLibvirtd, type LibvirtState } from './libvirtd.ts'
import { requirements } from './requirements.ts'

/** Infrastructure of the services: bus, store, secrets, and libvirt if available. */
export type Infrastructure = {
  accelerator: Accelerator
  /** May settle after the services have started; they wait for libvirt themselves. */
  libvirt: Promise<LibvirtState>
  /** Missing Debian packages of optional features. */
  lacking: string[]
}

type Tools = {
  say: (line: string) => void
  /** Registers a function that stops a part; at shutdown the last one runs first. */
  onStop: (undo: () => Promise<unknown>) => void
  /** No guests run on this machine: libvirtd is not started, and packages for guests are not installed. */
  isWithoutGuests?: boolean
}

const withoutGuests: LibvirtState = { running: false, why: 'no guests run on this machine', help: 'npm start' }

/**
 * Installs missing packages, and starts bus, store and libvirtd unless external ones are configured. Completes
 * `config`.
 */
export async function startInfrastructure(
  host: Host,
  config: Config,
  { say, onStop, isWithoutGuests = false }: Tools,
): Promise<Infrastructure> {
  const { dataDir } = config
  const isWanted = (level: string) => (isWithoutGuests ? level === 'core' : level !== 'test')
  const wanted = requirements.filter(({ level, unless }) => isWanted(level) && !(unless && config[unless]))
  const { stillMissing, problem } = await install(host, wanted, say)
  if (problem) log('install').warn({ problem }, 'apt-get could not install the missing packages')
  const core = stillMissing.filter(({ level }) => level === 'core')
  if (core.length > 0)
    throw new UnavailableError(
      `Horcrux needs ${core.map(({ name, neededFor }) => `${name}, ${neededFor}`).join('; ')}. As root: apt-get install ${packagesOf(core).join(' ')}${problem ? ` (apt-get said: ${problem})` : ''}`,
    )

  const found = await accelerator(host, config.vmAccel)
  const libvirt = isWithoutGuests
    ? Promise.resolve(withoutGuests)
    : ensureLibvirtd(host, found).catch((error: unknown): LibvirtState => ({
        running: false,
        why: String(error),
        help: 'horcrux doctor',
      }))
  const secrets = await keepSecrets(host, dataDir)
  const [natsUrl, mongodbUrl] = await Promise.all([
    config.natsUrl ?? child(startEmbeddedBus(host, dataDir), onStop),
    config.mongodbUrl ?? child(startEmbeddedStore(host, dataDir, secrets.mongodb_password), onStop),
  ])
  setConfig({
    natsUrl,
    mongodbUrl,
    jwtSecret: config.jwtSecret ?? secrets.jwt_secret,
    secretKey: config.secretKey ?? secrets.secret_key,
  })
  await writeEndpoints(host, dataDir, { api_url: apiUrl(config), nats_url: natsUrl, mongodb_url: mongodbUrl })
  onStop(() => writeEndpoints(host, dataDir, null))
  return { accelerator: found, libvirt, lacking: packagesOf(stillMissing) }
}

async function child(
  starting: Promise<{ url: string; stop: () => Promise<void> }>,
  onStop: Tools['onStop'],
): Promise<string> {
  const { url, stop } = await starting
  onStop(stop)
  return url
}

/** Address of the API for a client on this machine. */
export function apiUrl({ host, port, tls }: Config): string {
  const name = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[host] ?? (host.includes(':') ? `[${host}]` : host)
  return `${tls === 'off' ? 'http' : 'https'}://${name}:${port}`
}
