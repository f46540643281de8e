import type { World } from '#shared/nodes/simulated/world.ts'
import type { Service } from '#shared/service/start.ts'
import { seedNodes } from '../../services/cluster/nodes/seed.ts'
import { seedContainers } from '../../services/container/drivers/simulated/seed.ts'
import { seedStorage } from '../../services/storage/drivers/simulated/seed.ts'
import { seedVms } from '../../services/vm/drivers/simulated/seed.ts'
import { liveOn } from './life.ts'
import { planFleet } from './plan.ts'

/** The fleet as a service: fills an empty store before the others start, and changes states while they run. */
export const fleetService = (
  world: World,
  { vms, changesPerSecond }: { vms: number; changesPerSecond: number },
): Service => ({
  name: 'fleet',
  serves: [],
  prepare: async () => {
    if (world.nodes.all().length > 0) return
    const plan = planFleet(vms, Date.now())
    await seedStorage(world, plan.pools, plan.volumes)
    await seedVms(world, plan.vms)
    await seedContainers(world, plan.containers)
    await seedNodes(plan.nodes)
    // Last: with nodes, the fleet is complete.
    world.nodes.addAll(plan.nodes)
  },
  start: async () => liveOn(world, changesPerSecond),
})
