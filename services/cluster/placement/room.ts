import { notFound } from '#shared/errors.ts'
import { open } from '#shared/nodes/nodes.ts'
import { nodeRecords } from '../nodes/model.ts'
import { reachOf } from '../nodes/view.ts'
import { roomObstacles, ruleObstacles } from './fits.ts'
import { loadWorld } from './load.ts'
import { loads, placesOf, type World } from './world.ts'

/** Memory that programs of a node can still get by its kernel's account, MiB; null for a kernel that does not tell. */
async function availableMib(node: string): Promise<number | null> {
  const { host } = open(reachOf(await nodeRecords.require(node)))
  const meminfo = (await host.readFile('/proc/meminfo')).toString('utf8')
  const kib = /^MemAvailable:\s*(\d+) kB$/m.exec(meminfo)?.[1]
  return kib === undefined ? null : Number(kib) / 1024
}

/**
 * Resources that a node lacks for a guest, by the sizes of all guests that run there or move there, and by its measured
 * memory. Guests on the way may still take all their memory, so they are subtracted from the measured memory.
 * @param availableMib measured memory; null when it is not known
 */
export function lacking(world: World, vm: string, node: string, available: number | null) {
  const guest = world.vms.find(({ id }) => id === vm)
  if (!guest) throw notFound('Virtual machine', vm)
  const target = world.nodes.find(({ id }) => id === node)
  if (!target) throw notFound('Node', node)
  const arrivingMib = world.vms
    .filter(({ id, node: from, movingTo, isRunning }) => id !== vm && isRunning && movingTo === node && from !== node)
    .reduce((sum, { memoryMib }) => sum + memoryMib, 0)
  const availableMib = available === null ? null : Math.max(0, available - arrivingMib)
  return roomObstacles(guest, { ...target, availableMib }, loads(world, new Set([vm])).get(node)!)
}

/** The rules that a VM would break on a node by now, in words; null: none. */
export function brokenRules({ vms, rules }: World, vm: string, node: string): string | null {
  const places = new Map(vms.map((each) => [each.id, placesOf(each)]))
  const broken = ruleObstacles(vm, node, rules, (other) => places.get(other) ?? [])
  return broken.length === 0 ? null : broken.map(({ text }) => text).join('; ')
}

/** @throws UnavailableError when the node does not answer */
export async function roomFor(vm: string, node: string) {
  const [world, available] = await Promise.all([
    loadWorld({ withFeatures: false, withMeasured: false }),
    availableMib(node),
  ])
  return lacking(world, vm, node, available)
}
