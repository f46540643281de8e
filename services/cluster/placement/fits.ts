import type { Load, World, WorldNode, WorldVm } from './world.ts'

/** One reason that a VM cannot be on a node, of a kind that names what would have to change. */
export type Obstacle = { kind: 'usable' | RoomObstacle['kind'] | 'storage' | 'cpu' | 'rule'; text: string }
/** A resource that a node lacks. */
export type RoomObstacle = { kind: 'memory' | 'vcpus' | 'measured'; text: string }

type Guest = Omit<WorldVm, 'node' | 'isRunning' | 'movingTo'>

/** Pools of the world by id, made once for many questions. */
export const poolsOf = ({ pools }: World) => new Map(pools.map((pool) => [pool.id, pool]))

/** Reasons of the node and the VM alone, without the load of the node. */
export function unaryObstacles(guest: Guest, node: WorldNode, pools: ReturnType<typeof poolsOf>): Obstacle[] {
  const obstacles: Obstacle[] = []
  if (node.unusable !== null) obstacles.push({ kind: 'usable', text: node.unusable })
  for (const id of new Set(guest.pools)) {
    const pool = pools.get(id)
    if (!pool?.isActive) obstacles.push({ kind: 'storage', text: `storage pool '${id}' is not active` })
    else if (pool.nodes !== null && !pool.nodes.includes(node.id))
      obstacles.push({ kind: 'storage', text: `it does not reach storage pool '${id}'` })
  }
  return [...obstacles, ...cpuObstacles(guest, node)]
}

function cpuObstacles({ architecture, accel, features }: Guest, node: WorldNode): Obstacle[] {
  if (node.architecture !== architecture || node.accel !== accel) {
    const has = `${node.architecture} with ${node.accel.toUpperCase()}`
    return [{ kind: 'cpu', text: `it has ${has}, the guest has ${architecture} with ${accel.toUpperCase()}` }]
  }
  if (features === null || node.features === null) return []
  const missing = [...features].filter((feature) => !node.features!.has(feature))
  if (missing.length === 0) return []
  const more = missing.length > 10 ? ` and ${missing.length - 10} more` : ''
  return [{ kind: 'cpu', text: `its CPU lacks ${missing.slice(0, 10).join(', ')}${more}` }]
}

/** Reasons of the load. @param load of the guests that are there already */
export function roomObstacles(guest: Pick<Guest, 'memoryMib' | 'vcpus'>, node: WorldNode, load: Load): RoomObstacle[] {
  const obstacles: RoomObstacle[] = []
  const lacksMib = load.memoryMib + guest.memoryMib - node.memoryMib
  if (lacksMib > 0)
    obstacles.push({
      kind: 'memory',
      text: `${lacksMib} MiB of memory are missing: guests may have ${node.memoryMib} MiB there, those that run there or move there have ${load.memoryMib}, this one needs ${guest.memoryMib}`,
    })
  const lacksVcpus = load.vcpus + guest.vcpus - node.vcpus
  if (lacksVcpus > 0)
    obstacles.push({
      kind: 'vcpus',
      text: `${lacksVcpus} vCPUs are missing: guests may have ${node.vcpus} there, those that run there or move there have ${load.vcpus}, this one needs ${guest.vcpus}`,
    })
  if (node.availableMib !== null && node.availableMib < guest.memoryMib)
    obstacles.push({
      kind: 'measured',
      text: `${Math.floor(node.availableMib)} MiB of memory are available by the last measurement, ${guest.memoryMib} are needed`,
    })
  return obstacles
}

/** Rules that a VM on this node would break. @param nodesOf the places of every other VM that the rules name */
export function ruleObstacles(
  vm: string,
  node: string,
  rules: World['rules'],
  nodesOf: (vm: string) => string[],
): Obstacle[] {
  return rules.flatMap(({ id, kind, vms }): Obstacle[] => {
    if (!vms.includes(vm)) return []
    const others = vms.filter((other) => other !== vm)
    const broken =
      kind === 'apart'
        ? others.filter((other) => nodesOf(other).includes(node))
        : others.filter((other) => nodesOf(other).length > 0 && nodesOf(other)[0] !== node)
    if (broken.length === 0) return []
    const where = kind === 'apart' ? 'is there' : 'is on another node'
    return [
      {
        kind: 'rule',
        text: `rule '${id}' keeps it ${kind === 'apart' ? 'apart from' : 'together with'} '${broken[0]}', which ${where}`,
      },
    ]
  })
}
