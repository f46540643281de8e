import { apiUrl } from '#shared/platform/start-infrastructure.ts'
import { freePort, simulationFile } from '#shared/platform/data-folder.ts'
import { config, reloadConfig } from '#shared/config/config.ts'
import { openWorld, type World } from '#shared/nodes/simulated/world.ts'
import { run } from '../commands/start.ts'
import { type FleetFolder, openFolder } from './folder.ts'
import { installSimulation } from './install.ts'
import { fleetService } from './service.ts'

export type FleetOptions = {
  vms: number
  /** Data folder; undefined: a temporary one. */
  data: string | undefined
  changesPerSecond: number
}

/** `horcrux demo --fleet N`: runs all of Horcrux with simulated nodes, VMs, containers and storage until a stop signal. */
export async function fleet({ vms, data, changesPerSecond }: FleetOptions): Promise<number> {
  const folder = await openFolder(data)
  try {
    await configure(folder)
    const world = openWorld(simulationFile(folder.path))
    installSimulation(world)
    try {
      return await run({
        more: [fleetService(world, { vms, changesPerSecond })],
        isWithoutGuests: true,
        greet: async (_, { say }) => say(greeting(world, folder, data === undefined)),
      })
    } finally {
      world.close()
    }
  } finally {
    await folder.leave()
  }
}

/** Settings of the environment that a fleet keeps; all others would lead it to another Horcrux. */
const ownSettings = ['HORCRUX_HOST', 'HORCRUX_PORT', 'HORCRUX_METRICS_PORT', 'HORCRUX_LOG_LEVEL', 'HORCRUX_RATE_LIMIT']

/** Makes the folder the only one of this process: no setting of a running Horcrux is read, and none is registered there. */
async function configure({ path, password }: FleetFolder): Promise<void> {
  for (const name of Object.keys(process.env))
    if (/^(HORCRUX_|NATS_|MONGODB_)/.test(name) && !ownSettings.includes(name)) delete process.env[name]
  const defaults = { HORCRUX_PORT: String(await freePort(8006)), HORCRUX_METRICS_PORT: '0', HORCRUX_LOG_LEVEL: 'warn' }
  Object.assign(process.env, { ...defaults, ...process.env, HORCRUX_DATA: path, XDG_RUNTIME_DIR: path })
  process.env['HORCRUX_ADMIN_PASSWORD'] = password
  // A `.env` of the working folder may name the bus and the store of a running Horcrux.
  process.chdir(path)
  reloadConfig()
}

function greeting(world: World, { path, password }: FleetFolder, isTemporary: boolean): string {
  const url = apiUrl(config())
  const [nodes, guests, containers] = [world.nodes, world.guests, world.containers].map((shelf) => shelf.all().length)
  return [
    '',
    `Horcrux is ready at ${url}/ with a simulated fleet: ${guests} VMs and ${containers} containers on ${nodes} nodes. Ctrl-C stops it.`,
    `  sign in   admin, password ${password}`,
    `  data      ${path}   ${isTemporary ? '(temporary: removed at the end)' : '(the same --data goes on with it)'}`,
    `  commands  npx horcrux login ${url}, then npx horcrux vms list`,
    '',
  ].join('\n')
}
