import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Config, config, ConfigError, reloadConfig } from '#shared/config/config.ts'
import { dataFile } from '@horcrux/embedded-store/files'
import { UnavailableError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { wholeName } from '#shared/bus/identity/service-permissions.ts'
import { makeDataFolder, simulationFile, writeEndpoints } from '#shared/platform/data-folder.ts'
import { apiUrl, startInfrastructure } from '#shared/platform/start-infrastructure.ts'
import { lockDataFolder } from '#shared/platform/lock.ts'
import { stopOnSignals } from '#shared/platform/stopping.ts'
import { registerInstance } from '#shared/platform/running-instances.ts'
import { compactWhenIdle } from '#shared/runtime/compact-heap.ts'
import { type Service, startServices } from '#shared/service/start.ts'
import { checkAdminPassword, issuedSetupToken } from '../../services/auth/sign-in/first-start.ts'
import { readArguments } from '../arguments.ts'
import { publicKeyOf, signingKeyFrom } from '../../services/audit/chain/signing.ts'
import { checkout } from '../running-instance.ts'
import { services } from '../services.ts'
import { ensurePage } from '../page.ts'
import { welcome } from '../welcome.ts'

/**
 * `horcrux start`: runs all services in this process, with its own bus and store unless external ones are configured.
 * Returns after a stop signal.
 */
export async function start(words: string[]): Promise<number> {
  readArguments(words, {})
  const { dataDir } = config()
  if (existsSync(simulationFile(dataDir)))
    throw new ConfigError([
      `HORCRUX_DATA: ${dataDir} has a simulated fleet, which only runs as such: horcrux demo --fleet 1 --data ${dataDir}`,
    ])
  return run({})
}

type How = {
  /** Services that run beside the others, and are prepared before them. */
  more?: readonly Service[]
  /** No guests run on this machine: nothing is installed or started for them. */
  isWithoutGuests?: boolean
  /** Prints the address and the next steps; the usual ones if not given. */
  greet?: typeof welcome
}

/** Runs all services until a stop signal, on the data folder of the configuration. */
export async function run({ more = [], isWithoutGuests = false, greet = welcome }: How): Promise<number> {
  const since = performance.now()
  const { dataDir } = config()
  demandAdminPassword(config())
  const host = localHost()
  const { onStop, stop, stopped, isStopping } = stopOnSignals()
  try {
    await makeDataFolder(host, dataDir)
    const unlock = lockDataFolder(dataDir)
    onStop(async () => unlock())
    // A killed instance left its addresses; they must not be read as settings.
    await writeEndpoints(host, dataDir, null)
    const settings = reloadConfig()
    await demandFreePort(settings)
    const infrastructure = await startInfrastructure(host, settings, { say, onStop, isWithoutGuests })
    await ensurePage()
    const running = await startServices(wholeName, [...more, ...services])
    onStop(running.stop)
    compactWhenIdle()
    const unregister = registerInstance(ownRegistration(), config().runtimeDir)
    onStop(async () => unregister())
    const seconds = (performance.now() - since) / 1000
    await greet(infrastructure, { seconds, setupToken: issuedSetupToken(), say })
  } catch (error) {
    await stop()
    // During a stop, steps of the start fail because their parts are gone: no error.
    if (!isStopping()) throw error
  }
  await stopped
  return 0
}

/**
 * Messages for the user: to the terminal if standard output is one, else to standard error, beside the JSON lines of
 * the log.
 */
const say = (text: string) => void (process.stdout.isTTY ? process.stdout : process.stderr).write(`${text}\n`)

function ownRegistration() {
  const { dataDir, secretKey } = config()
  return { data_dir: dataDir, url: apiUrl(config()), checkout, audit_key: publicKeyOf(signingKeyFrom(secretKey!)) }
}

/** Checks the password of the first user before bus and store are started. @throws ConfigError */
function demandAdminPassword({ adminPassword, dataDir, mongodbUrl }: Config): void {
  const isFirst = mongodbUrl === undefined && !existsSync(dataFile(join(dataDir, 'store')))
  if (isFirst && adminPassword !== undefined) checkAdminPassword(adminPassword)
}

/** Checks that the port is free before anything is started. @throws UnavailableError */
async function demandFreePort({ host, port }: Config): Promise<void> {
  const server = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port, exclusive: true }, resolve)
  try {
    await promise
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'EADDRINUSE' ? 'something else listens there' : message
    throw new UnavailableError(
      `Horcrux cannot listen on ${host} port ${port}: ${why}. Choose another port: HORCRUX_PORT=${port + 1} npm start`,
      { cause: error },
    )
  } finally {
    server.close()
  }
}
