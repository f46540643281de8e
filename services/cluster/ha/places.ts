import type { HaGroup } from '#shared/contracts/cluster/ha.ts'
import { rank } from '../placement/choose.ts'
import { roomObstacles } from '../placement/fits.ts'
import { loads, type World } from '../placement/world.ts'
import type { Places } from './decide.ts'

type Known = { id: string; oldNodes: readonly string[]; rules: Pick<HaGroup, 'nodes' | 'restricted'> }
type Around = {
  quarantineSecondsOf: (node: string) => number
  /** The reason for which a node has refused the VM lately. */
  refusalOf: (node: string) => string | null
  first: string
}

/**
 * The nodes that can take a VM under HA, by the placement of all VMs and the rules of its group, the best first.
 * @param given nodes that other VMs are started on
 * @returns `ownLacks`: the room that its own node lacks for it; null: none
 */
export function placesIn(
  inventory: World,
  { id, oldNodes, rules }: Known,
  given: ReadonlyMap<string, string>,
  { quarantineSecondsOf, refusalOf, first }: Around,
): Places {
  const own = inventory.vms.find((vm) => vm.id === id)
  if (!own) return { nodes: [], reason: 'it is not in the inventory', ownLacks: null }
  const others = inventory.vms
    .filter((vm) => vm.id !== id)
    .map((each) => {
      const to = given.get(each.id)
      return to === undefined ? each : { ...each, node: to, isRunning: true }
    })
  const world = { ...inventory, vms: others }
  const { candidates, refused } = rank(world, own, { isStarting: true, first })
  const home = world.nodes.find(({ id: node }) => node === own.node)
  const lacks = home ? roomObstacles(own, home, loads(world).get(home.id)!) : []
  const priorityOf = (node: string) => rules.nodes.find((each) => each.node === node)?.priority ?? -1
  const whyNot = (node: string): string | null => {
    if (oldNodes.includes(node)) return 'it may still have a former copy of the guest'
    const seconds = quarantineSecondsOf(node)
    if (seconds > 0) return `it was lost several times, and is quarantined for ${seconds} s more`
    if (rules.restricted && priorityOf(node) < 0) return 'its group does not name it'
    return refusalOf(node)
  }
  const nodes = candidates.map(({ node }) => node).filter((node) => node !== own.node)
  const reasons = [
    ...nodes.flatMap((node) => (whyNot(node) === null ? [] : [`'${node}': ${whyNot(node)}`])),
    ...refused.map(({ node, obstacles }) => `'${node}': ${obstacles.map(({ text }) => text).join(', ')}`),
  ]
  return {
    // The order of the ranking decides among nodes of one priority.
    nodes: nodes.filter((node) => whyNot(node) === null).toSorted((a, b) => priorityOf(b) - priorityOf(a)),
    reason: reasons.join('; ') || 'there is no other node',
    ownLacks: lacks.length === 0 ? null : lacks.map(({ text }) => text).join(', '),
  }
}
