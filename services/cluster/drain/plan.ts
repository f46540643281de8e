import type { DrainPlan } from '#shared/contracts/cluster/drains.ts'
import { planned } from '#shared/service/plan.ts'
import { problemOf } from '../placement/constraints.ts'
import { explain } from '../placement/explain.ts'
import { solve } from '../placement/solve.ts'
import type { World, WorldNode, WorldVm } from '../placement/world.ts'
import { tellConflict } from './tell.ts'

type Wish = {
  movers: WorldVm[]
  targets: WorldNode[]
  /** Guests that stay where they are, with the reason. */
  stays: DrainPlan['stays']
  bandwidthMib: number
}

/**
 * Plans moves: order, the load of each target at its peak, and the least time; or the conflicts that make it impossible,
 * each with the changes that would free it. A pure function of the inventory.
 */
export function planMoves(world: World, node: string, { movers, targets, stays, bandwidthMib }: Wish): DrainPlan {
  const problem = problemOf(world, movers, targets)
  const solution = solve(problem)
  const common = { node, stays, bandwidth_mib_s: bandwidthMib }
  const none = { moves: [], peaks: [], at_least_seconds: null }
  if (solution.kind === 'unknown')
    return planned({ ...common, ...none, status: 'unknown', conflicts: [], are_all_conflicts_known: false }, { node })
  if (solution.kind === 'infeasible') {
    const { conflicts, isComplete } = explain(problem)
    const told = conflicts.map((each) => tellConflict(problem, each))
    const plan = {
      ...common,
      ...none,
      status: 'impossible' as const,
      conflicts: told,
      are_all_conflicts_known: isComplete,
    }
    return planned(plan, {
      node,
      conflicts: told.map(({ constraints }) => constraints.map(({ kind, subject }) => [kind, subject])),
    })
  }
  const moves = inOrder(world, movers).map((vm) => ({
    vm_id: vm.id,
    from: vm.node,
    to: solution.on.get(vm.id)!,
    memory_mib: vm.memoryMib,
    vcpus: vm.vcpus,
    is_running: vm.isRunning,
    at_least_seconds: vm.isRunning ? vm.memoryMib / bandwidthMib : 0,
  }))
  const peaks = targets.flatMap(({ id, memoryMib, vcpus }) => {
    const arriving = moves.filter(({ to, is_running }) => to === id && is_running)
    if (arriving.length === 0) return []
    const load = problem.base.get(id)!
    // Nothing leaves a target during the moves, so the end is the peak.
    const memory = load.memoryMib + arriving.reduce((sum, move) => sum + move.memory_mib, 0)
    const used = load.vcpus + arriving.reduce((sum, move) => sum + move.vcpus, 0)
    return [{ node: id, memory_mib: memory, of_memory_mib: memoryMib, vcpus: used, of_vcpus: vcpus }]
  })
  const plan = {
    ...common,
    status: 'possible' as const,
    moves,
    peaks,
    at_least_seconds: moves.reduce((sum, { at_least_seconds }) => sum + at_least_seconds, 0),
    conflicts: [],
    are_all_conflicts_known: true,
  }
  return planned(plan, { node, moves: moves.map(({ vm_id, to }) => [vm_id, to]) })
}

/** Small guests first: a mistake shows early, and most guests are safe soon. VMs of a rule `together` follow each other. */
function inOrder({ rules }: World, movers: WorldVm[]): WorldVm[] {
  const bundleOf = (vm: WorldVm) =>
    rules.find(({ kind, vms }) => kind === 'together' && vms.includes(vm.id))?.id ?? `vm ${vm.id}`
  const bundles = Map.groupBy(movers, bundleOf)
  const weight = (vms: WorldVm[]) => vms.reduce((sum, { isRunning, memoryMib }) => sum + (isRunning ? memoryMib : 0), 0)
  return [...bundles.values()]
    .toSorted((a, b) => weight(a) - weight(b) || (a[0]!.id < b[0]!.id ? -1 : 1))
    .flatMap((vms) => vms.toSorted((a, b) => a.memoryMib - b.memoryMib || (a.id < b.id ? -1 : 1)))
}
