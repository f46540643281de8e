import type { RehearsalEvent, RehearsedVm, Rehearsal } from '#shared/contracts/cluster/rehearsals.ts'
import { tellConflict } from '../drain/tell.ts'
import { problemOf } from '../placement/constraints.ts'
import { explain } from '../placement/explain.ts'
import { loads } from '../placement/world.ts'
import { noRoom } from '../ha/decide.ts'
import { type Sim, type SimVm, worldOf } from './state.ts'

/** Entries of a timeline that are shown. */
const mostTold = 2000
/** VMs without room that are explained together: more make the search long, and the answer no clearer. */
const mostExplained = 200

const placeOf = ({ guests, node }: SimVm) => (guests.has(node) ? node : ([...guests.keys()][0] ?? null))

function outcomeOf(vm: SimVm, from: string): RehearsedVm['outcome'] {
  const to = placeOf(vm)
  if (to !== null) return vm.downMs > 0 ? 'restarted' : to === from ? 'runs' : 'moved'
  if (!vm.ha || (!vm.ha.isOwed && vm.work === null)) return 'down'
  return vm.ha.attention === null ? 'waits' : 'needs_attention'
}

/** The reason for the outcome of a VM, and a change that would let it run. */
function reasonOf(sim: Sim, vm: SimVm, outcome: RehearsedVm['outcome']): Pick<RehearsedVm, 'reason' | 'remedy'> {
  const node = sim.nodes.get(vm.node)
  if (outcome === 'runs') {
    const isAway = node !== undefined && !node.isOnline
    return { reason: isAway ? `it runs on, and node '${vm.node}' does not answer` : vm.reason, remedy: null }
  }
  if (outcome === 'restarted' || outcome === 'moved') return { reason: null, remedy: null }
  if (vm.ha) {
    const bound = vm.bound.length === 0 ? null : `Take away what lies on its node alone: ${vm.bound.join('; ')}`
    return { reason: vm.reason, remedy: bound }
  }
  const state = node?.isOnline ? 'lost its guests' : 'does not answer'
  return {
    reason: `node '${vm.node}' ${state}, and it is not under HA`,
    remedy: `Put it under HA: POST /api/ha/resources {"id": "${vm.id}"}`,
  }
}

function rehearsedOf(sim: Sim, vm: SimVm, from: string): RehearsedVm {
  const outcome = outcomeOf(vm, from)
  const downMs = vm.downMs + (vm.downAt === null ? 0 : sim.nowMs - vm.downAt)
  const down_seconds = Math.round(downMs / 100) / 10
  return { id: vm.id, outcome, from, to: placeOf(vm), down_seconds, ...reasonOf(sim, vm, outcome) }
}

/** Why drains are impossible, and the VMs that wait for room have none. */
function conflictsOf(sim: Sim): Pick<Rehearsal, 'conflicts' | 'are_all_conflicts_known'> {
  const waiting = [...sim.vms.values()].filter(
    ({ ha, guests, reason }) => ha?.isOwed && guests.size === 0 && reason?.startsWith(noRoom),
  )
  const ids = new Set(waiting.slice(0, mostExplained).map(({ id }) => id))
  const { drainConflicts, areDrainConflictsKnown } = sim
  if (ids.size === 0) return { conflicts: drainConflicts, are_all_conflicts_known: areDrainConflictsKnown }
  const world = worldOf(sim)
  const movers = world.vms.filter(({ id }) => ids.has(id)).map((vm) => ({ ...vm, isRunning: true, movingTo: null }))
  const problem = problemOf(world, movers, world.nodes)
  const { conflicts, isComplete } = explain(problem)
  return {
    conflicts: [...drainConflicts, ...conflicts.map((each) => tellConflict(problem, each))],
    are_all_conflicts_known: areDrainConflictsKnown && isComplete && ids.size === waiting.length,
  }
}

function nodesOf(sim: Sim): Rehearsal['nodes'] {
  const running = [...sim.vms.values()].map((vm) => {
    const place = placeOf(vm)
    return { ...vm, node: place ?? vm.node, isRunning: place !== null, movingTo: null }
  })
  const sums = loads({ ...worldOf(sim), vms: running })
  return [...sim.nodes.values()].map(({ id, inMaintenance, isOnline, memoryMib, vcpus }) => ({
    id,
    state: !isOnline ? 'offline' : inMaintenance ? 'maintenance' : 'online',
    guests: running.filter((vm) => vm.isRunning && vm.node === id).length,
    memory_mib: Math.round(sums.get(id)!.memoryMib),
    of_memory_mib: Math.round(memoryMib),
    vcpus: sums.get(id)!.vcpus,
    of_vcpus: vcpus,
  }))
}

/** The end of a simulation in the words of the contract. */
export function tellRehearsal(sim: Sim, events: readonly RehearsalEvent[], seed: number): Rehearsal {
  const homes = new Map(sim.start.world.vms.map(({ id, node }) => [id, node]))
  const named = new Set(events.map(({ node }) => node))
  const concerned = [...sim.vms.values()].filter((vm) => {
    const hasRun = sim.start.world.vms.some(({ id, isRunning }) => id === vm.id && isRunning)
    return (hasRun || vm.guests.size > 0 || vm.ha?.isOwed) && (vm.wasTouched || named.has(homes.get(vm.id)!))
  })
  const vms = concerned.map((vm) => rehearsedOf(sim, vm, homes.get(vm.id)!)).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const counts: Record<string, number> = {}
  for (const { outcome } of vms) counts[outcome] = (counts[outcome] ?? 0) + 1
  return {
    seed,
    simulated_seconds: sim.nowMs / 1000,
    counts,
    vms,
    nodes: nodesOf(sim),
    ...conflictsOf(sim),
    broken: sim.broken,
    timeline: sim.timeline.slice(0, mostTold),
    is_timeline_cut: sim.timeline.length > mostTold,
  }
}
