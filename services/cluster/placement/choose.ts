import { type Obstacle, poolsOf, roomObstacles, ruleObstacles, unaryObstacles } from './fits.ts'
import { loads, placesOf, type World, type WorldNode, type WorldVm } from './world.ts'

/** A VM that has no node yet. */
export type Wanted = Pick<WorldVm, 'id' | 'memoryMib' | 'vcpus' | 'pools'> & { architecture: string | null }

export type Ranked = {
  /** Nodes that it fits on, the best first, each with the reason. */
  candidates: { node: string; reason: string }[]
  /** All others, each with every reason. */
  refused: { node: string; obstacles: Obstacle[] }[]
}

type Judged = { node: WorldNode; obstacles: Obstacle[]; share: number; reason: string }

/**
 * Ranks the nodes for a new VM: the one with the most room left after it is first, so that load is spread. Room is the
 * smaller of the shares of memory and vCPUs that stay free when all guests run, also those that are off now.
 * @param isStarting it takes memory at once, so that the measured memory counts too
 */
export function rank(
  world: World,
  wanted: Wanted,
  { isStarting, first }: { isStarting: boolean; first: string },
): Ranked {
  const pools = poolsOf(world)
  const running = loads(world)
  const all = loads({ ...world, vms: world.vms.map((vm) => ({ ...vm, isRunning: true })) })
  const places = new Map(world.vms.map((vm) => [vm.id, placesOf(vm)]))
  const judge = (node: WorldNode): Judged => {
    // A guest of another architecture than its node's is emulated there; the hypervisor says whether it can.
    const guest = { ...wanted, architecture: node.architecture, accel: node.accel, features: null }
    const room = roomObstacles(guest, node, running.get(node.id)!)
    const obstacles = [
      ...unaryObstacles(guest, node, pools),
      ...room.filter(({ kind }) => isStarting || kind !== 'measured'),
      ...ruleObstacles(wanted.id, node.id, world.rules, (vm) => places.get(vm) ?? []),
    ]
    const load = all.get(node.id)!
    const freeMib = node.memoryMib - load.memoryMib - wanted.memoryMib
    const freeVcpus = node.vcpus - load.vcpus - wanted.vcpus
    const share = Math.min(freeMib / Math.max(1, node.memoryMib), freeVcpus / Math.max(1, node.vcpus))
    const measured =
      node.availableMib === null ? '' : `, ${Math.floor(node.availableMib)} MiB are available by measurement`
    const reason = `with all guests running, ${freeMib} of ${node.memoryMib} MiB and ${freeVcpus} of ${node.vcpus} vCPUs stay free there${measured}`
    return { node, obstacles, share, reason }
  }
  const judged = world.nodes.map(judge)
  const isNative = ({ node }: Judged) =>
    wanted.architecture === null || node.architecture === wanted.architecture ? 1 : 0
  const fitting = judged
    .filter(({ obstacles }) => obstacles.length === 0)
    .toSorted(
      (a, b) =>
        isNative(b) - isNative(a) ||
        b.share - a.share ||
        Number(b.node.id === first) - Number(a.node.id === first) ||
        (a.node.id < b.node.id ? -1 : 1),
    )
  return {
    candidates: fitting.map(({ node, reason }) => ({ node: node.id, reason })),
    refused: judged
      .filter(({ obstacles }) => obstacles.length > 0)
      .map(({ node, obstacles }) => ({ node: node.id, obstacles })),
  }
}
