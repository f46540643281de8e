import { replaceEngines } from '#shared/nodes/engines.ts'
import { replaceRemoteHosts } from '#shared/nodes/host/hosts.ts'
import { simulatedEngine } from '#shared/nodes/simulated/engine.ts'
import { simulatedHost } from '#shared/nodes/simulated/host.ts'
import type { World } from '#shared/nodes/simulated/world.ts'
import { replaceDrivers as replaceContainers } from '../../services/container/drivers/drivers.ts'
import { simulatedContainers } from '../../services/container/drivers/simulated/simulated.ts'
import { replaceSources } from '../../services/metrics/sources/guests.ts'
import { simulatedGuests } from '../../services/metrics/sources/simulated.ts'
import { replaceDrivers as replaceStorage } from '../../services/storage/drivers/drivers.ts'
import { simulatedPool } from '../../services/storage/drivers/simulated/simulated.ts'
import { replaceDrivers as replaceHypervisors } from '../../services/vm/drivers/drivers.ts'
import { simulatedHypervisor } from '../../services/vm/drivers/simulated/simulated.ts'

/**
 * Puts the simulation in the place of every driver of this process, so that nothing reaches a real host, engine or storage.
 * Only `horcrux demo --fleet` imports this file: in a normal start no code of a simulation is loaded.
 */
export function installSimulation(world: World): void {
  // A connection apart from the usual one is named `node/name`.
  replaceRemoteHosts((id) => simulatedHost(world, id.split('/')[0]!))
  replaceEngines((kind) => simulatedEngine(world, kind))
  replaceHypervisors((real) => simulatedHypervisor(world, real))
  replaceContainers((runtime, real) => simulatedContainers(world, runtime, real))
  replaceStorage((real) => simulatedPool(world, real))
  replaceSources(simulatedGuests(world))
}
