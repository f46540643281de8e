import { usualRules } from '#shared/contracts/cluster/usual-ha-rules.ts'
import type { RehearsalEvent } from '#shared/contracts/cluster/rehearsals.ts'
import { planMoves } from '../services/cluster/drain/plan.ts'
import { rank } from '../services/cluster/placement/choose.ts'
import type { World, WorldNode, WorldVm } from '../services/cluster/placement/world.ts'
import { simulate } from '../services/cluster/rehearsal/simulate.ts'
import type { Start } from '../services/cluster/rehearsal/state.ts'
import { timed } from './demand.ts'
import type { Row } from './figures.ts'

const [nodeCount, vmCount, gib] = [50, 2000, 1024]

const nodeOf = (index: number): WorldNode => ({
  id: `n${index}`,
  unusable: null,
  memoryMib: 256 * gib,
  vcpus: 1024,
  availableMib: null,
  architecture: 'x86_64',
  accel: 'kvm',
  features: null,
})

const vmOf = (index: number): WorldVm => ({
  id: `vm${index}`,
  node: `n${index % nodeCount}`,
  // 2 to 9.75 GiB, so that the nodes are filled to nine tenths.
  memoryMib: 2 * gib + ((index * 37) % 32) * 256,
  vcpus: 2,
  isRunning: true,
  architecture: 'x86_64',
  accel: 'kvm',
  pools: ['shared'],
  features: null,
})

/** Fifty nodes with 2,000 running guests, and a rule for each hundred of them. */
function fleet(): World {
  const vms = Array.from({ length: vmCount }, (_, index) => vmOf(index))
  return {
    nodes: Array.from({ length: nodeCount }, (_, index) => nodeOf(index)),
    vms,
    pools: [{ id: 'shared', nodes: null, isActive: true }],
    rules: Array.from({ length: 20 }, (_, index) => ({
      id: `apart-${index}`,
      kind: 'apart' as const,
      vms: [0, 1, 2].map((step) => `vm${index * 100 + step * 51}`),
    })),
  }
}

function drain(world: World, node: string) {
  const movers = world.vms.filter((vm) => vm.node === node)
  const targets = world.nodes.filter(({ id }) => id !== node)
  return planMoves(world, node, { movers, targets, stays: [], bandwidthMib: 100 })
}

/** Plans over the inventory of a fleet: a drain, one that is impossible with its conflicts, and the place of a new VM. */
export async function benchDrain(): Promise<Row[]> {
  const world = fleet()
  const wanted = { id: 'new', memoryMib: gib, vcpus: 1, pools: ['shared'], architecture: 'x86_64' }
  const rankMs = await timed(async () => rank(world, wanted, { isStarting: true, first: 'n0' }))
  let moves = 0
  const drainMs = await timed(async () => (moves = drain(world, 'n7').moves.length))
  if (moves !== vmCount / nodeCount)
    throw new Error(`The drain was to move ${vmCount / nodeCount} guests, not ${moves}`)
  const large = { ...world, vms: world.vms.map((vm) => (vm.id === 'vm7' ? { ...vm, memoryMib: 300 * gib } : vm)) }
  let conflicts = 0
  const explainMs = await timed(async () => (conflicts = drain(large, 'n7').conflicts.length))
  if (conflicts === 0) throw new Error('The drain of a guest that no node can take was to have conflicts')
  const start: Start = {
    world,
    remotes: new Set(world.nodes.map(({ id }) => id)),
    wanted: new Set(world.vms.map(({ id }) => id)),
    ha: new Map(
      world.vms.map(({ id }) => [
        id,
        { tier: 5, rules: { ...usualRules }, hasLease: true, isGuarded: true, attempts: [] },
      ]),
    ),
    bound: new Map(),
    bandwidthMib: 1000,
    first: 'n0',
  }
  const events: RehearsalEvent[] = [
    { kind: 'node_fails', node: 'n7', at_seconds: 0 },
    { kind: 'node_drains', node: 'n8', at_seconds: 120 },
    { kind: 'node_returns', node: 'n7', at_seconds: 1800 },
  ]
  let broken = 0
  const rehearsalMs = await timed(async () => {
    const end = simulate(start, { events, seconds: 1800, seed: 1 })
    broken = end.broken.length
    const down = [...end.vms.values()].filter(({ guests }) => guests.size === 0)
    if (down.length > 0) throw new Error(`The rehearsal was to leave no guest down, not ${down.length}`)
  })
  if (broken > 0) throw new Error('The rehearsal was to break no invariant')
  const fleetOf = `${nodeCount} nodes with ${vmCount} VMs`
  return [
    { what: `drain plan of a node of ${fleetOf}`, value: drainMs, unit: 'ms', below: 5000 },
    { what: `conflicts of an impossible drain of ${fleetOf}`, value: explainMs, unit: 'ms', below: 5000 },
    { what: `an hour of ${fleetOf}, with a failed and a drained node`, value: rehearsalMs, unit: 'ms', below: 10_000 },
    { what: `place of a new VM in ${fleetOf}`, value: rankMs, unit: 'ms', below: 100 },
  ]
}
