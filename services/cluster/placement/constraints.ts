import { poolsOf, unaryObstacles } from './fits.ts'
import { loads, type Load, type Rule, type World, type WorldNode, type WorldVm } from './world.ts'

/**
 * Everything that a drain has to keep, each by name, so that an impossible one can be explained by some of them:
 * `move`: a VM has to leave. The others say why a node does not take it.
 */
export type Constraint =
  | { kind: 'move'; vm: string }
  | { kind: 'usable' | 'memory' | 'vcpus'; node: string }
  | { kind: 'storage' | 'cpu'; vm: string }
  | { kind: 'rule'; rule: string }

export const keyOf = (constraint: Constraint): string =>
  `${constraint.kind} ${'vm' in constraint ? constraint.vm : 'node' in constraint ? constraint.node : constraint.rule}`

/** VMs that have to go somewhere, and the nodes that may take them. */
export type Problem = {
  world: World
  movers: WorldVm[]
  targets: WorldNode[]
  /** Load of the targets without the movers. */
  base: Map<string, Load>
  constraints: Constraint[]
}

export function problemOf(world: World, movers: WorldVm[], targets: WorldNode[]): Problem {
  const ids = new Set(movers.map(({ id }) => id))
  const pools = poolsOf(world)
  const has = (vm: WorldVm, kind: 'storage' | 'cpu') =>
    targets.some((node) => unaryObstacles(vm, node, pools).some((obstacle) => obstacle.kind === kind))
  const constraints: Constraint[] = [
    ...movers.map(({ id }) => ({ kind: 'move' as const, vm: id })),
    ...(['storage', 'cpu'] as const).flatMap((kind) =>
      movers.filter((vm) => has(vm, kind)).map(({ id }): Constraint => ({ kind, vm: id })),
    ),
    ...targets.flatMap(({ id, unusable }): Constraint[] => [
      ...(unusable === null ? [] : [{ kind: 'usable' as const, node: id }]),
      { kind: 'memory', node: id },
      { kind: 'vcpus', node: id },
    ]),
    ...world.rules.filter((rule) => concerns(rule, ids)).map(({ id }): Constraint => ({ kind: 'rule', rule: id })),
  ]
  return { world, movers, targets, base: loads(world, ids), constraints }
}

const concerns = ({ vms }: Rule, movers: ReadonlySet<string>) => vms.some((vm) => movers.has(vm))
