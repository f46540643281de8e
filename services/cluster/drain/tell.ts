import type { DrainPlan } from '#shared/contracts/cluster/drains.ts'
import { type Constraint, type Problem, problemOf } from '../placement/constraints.ts'
import type { Conflict } from '../placement/explain.ts'
import { poolsOf, unaryObstacles } from '../placement/fits.ts'
import { solve } from '../placement/solve.ts'
import type { WorldNode } from '../placement/world.ts'

type Told = DrainPlan['conflicts'][number]

/** A conflict in words, with each single change that would free it. */
export function tellConflict(problem: Problem, { constraints, isIrreducible }: Conflict): Told {
  return {
    constraints: constraints.map((each) => ({
      kind: each.kind,
      subject: subjectOf(each),
      text: textOf(problem, each),
    })),
    is_irreducible: isIrreducible,
    remedies: constraints.flatMap((each) => remedyOf(problem, constraints, each) ?? []),
  }
}

const subjectOf = (each: Constraint) => ('vm' in each ? each.vm : 'node' in each ? each.node : each.rule)

function textOf(problem: Problem, each: Constraint): string {
  if (each.kind === 'rule') {
    const { kind, vms } = problem.world.rules.find(({ id }) => id === each.rule)!
    return `Rule '${each.rule}' keeps ${vms.map((vm) => `'${vm}'`).join(', ')} ${kind}`
  }
  if ('node' in each) {
    const node = problem.targets.find(({ id }) => id === each.node)!
    if (each.kind === 'usable') return `Node '${node.id}' takes no guests: ${node.unusable}`
    const load = problem.base.get(node.id)!
    if (each.kind === 'vcpus') return `Node '${node.id}' has ${node.vcpus - load.vcpus} vCPUs left for guests`
    return `Node '${node.id}' has ${Math.floor(freeMib(problem, node))} MiB of memory left for guests`
  }
  const { id, memoryMib, vcpus, isRunning } = problem.movers.find((vm) => vm.id === each.vm)!
  const size = isRunning ? `${memoryMib} MiB, ${vcpus} vCPUs` : 'off'
  if (each.kind === 'move') {
    const none = problem.targets.length === 0 ? ', and there is no other node' : ''
    return `Virtual machine '${id}' (${size}) has to move${none}`
  }
  return `Virtual machine '${id}': ${unaryTexts(problem, id, each.kind).join('; ')}`
}

const freeMib = ({ base }: Problem, { id, memoryMib, availableMib }: WorldNode) =>
  Math.min(memoryMib - base.get(id)!.memoryMib, availableMib ?? Infinity)

function unaryTexts({ world, movers, targets }: Problem, vm: string, kind: 'storage' | 'cpu'): string[] {
  const mover = movers.find(({ id }) => id === vm)!
  const pools = poolsOf(world)
  return targets.flatMap((node) =>
    unaryObstacles(mover, node, pools)
      .filter((obstacle) => obstacle.kind === kind)
      .map(({ text }) => `on '${node.id}' ${text}`),
  )
}

/** A change that makes the rest of the conflict possible. */
function remedyOf(problem: Problem, constraints: readonly Constraint[], each: Constraint): string | null {
  switch (each.kind) {
    case 'move': {
      const { isRunning } = problem.movers.find(({ id }) => id === each.vm)!
      return isRunning ? `Shut down virtual machine '${each.vm}'` : `Leave virtual machine '${each.vm}' where it is`
    }
    case 'usable':
      return `Bring node '${each.node}' back`
    case 'rule':
      return `Lift rule '${each.rule}'`
    case 'storage':
      return `Give another node the storage pools of '${each.vm}', or copy its disks to one that more nodes reach`
    case 'cpu':
      return `Shut down '${each.vm}': after that it can start with the CPU of another node`
    default: {
      const more = leastMore(problem, constraints, each.node, each.kind)
      return more === null
        ? null
        : `Free ${more} ${each.kind === 'memory' ? 'MiB of memory' : 'vCPUs'} on node '${each.node}'`
    }
  }
}

/** The least room that a node lacks for the other constraints of a conflict, by bisection; null without an answer. */
function leastMore(
  { world, movers, targets }: Problem,
  constraints: readonly Constraint[],
  node: string,
  kind: 'memory' | 'vcpus',
): number | null {
  const field = kind === 'memory' ? 'memoryMib' : 'vcpus'
  const isEnough = (more: number) => {
    const grown = targets.map((each) => {
      if (each.id !== node) return each
      const availableMib = each.availableMib === null || kind === 'vcpus' ? each.availableMib : each.availableMib + more
      return { ...each, [field]: each[field] + more, availableMib }
    })
    return solve(problemOf(world, movers, grown), constraints).kind === 'placed'
  }
  let [low, high] = [0, movers.reduce((sum, vm) => sum + vm[field], 0) + lackOf(targets.find(({ id }) => id === node)!)]
  if (!isEnough(high)) return null
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (isEnough(middle)) high = middle
    else low = middle
  }
  return high

  /** A node that is overfull already needs that much before anything fits. */
  function lackOf(target: WorldNode): number {
    const load = problemOf(world, movers, targets).base.get(target.id)!
    return Math.max(0, load[field] - target[field])
  }
}
