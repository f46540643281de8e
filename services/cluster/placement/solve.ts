import { poolsOf, unaryObstacles } from './fits.ts'
import { type Constraint, keyOf, type Problem } from './constraints.ts'
import { placesOf, type Rule, type WorldNode, type WorldVm } from './world.ts'

/** `unknown`: the budget was used up before the search came to an end. */
export type Solution = { kind: 'placed'; on: Map<string, string> } | { kind: 'infeasible' } | { kind: 'unknown' }

/** Choices that a search may try. It bounds the time without a clock, so that the same world has the same answer. */
const budget = 200_000

type Free = { memoryMib: number; vcpus: number }
type Search = {
  movers: WorldVm[]
  /** Nodes that each mover may go to by everything but load and rules. */
  domains: Map<string, ReadonlySet<WorldNode>>
  /** By node: the movers that have it in their domain, as one text. */
  domainShapes: Map<string, string>
  free: Map<string, Free>
  rules: Rule[]
  /** By VM: the rules that name it. */
  rulesOf: Map<string, Rule[]>
  placesOf: Map<string, string[]>
  left: number
}

/**
 * Assigns each mover to a node so that all of these constraints hold; those that are left out are ignored.
 * Best fit decreasing first, then exact backtracking: the mover with the fewest nodes left is next, nodes that are equal
 * are tried once.
 */
export function solve(problem: Problem, constraints: readonly Constraint[] = problem.constraints): Solution {
  const search = searchOf(problem, constraints)
  if (isOverfull(search)) return { kind: 'infeasible' }
  const found = assign(search, new Map())
  if (found) return { kind: 'placed', on: found }
  return { kind: search.left <= 0 ? 'unknown' : 'infeasible' }
}

function searchOf({ world, movers, targets, base }: Problem, constraints: readonly Constraint[]): Search {
  const kept = new Set(constraints.map(keyOf))
  const pools = poolsOf(world)
  const domainOf = (vm: WorldVm) =>
    new Set(
      targets.filter((node) =>
        unaryObstacles(vm, node, pools).every(
          ({ kind }) => !kept.has(kind === 'usable' ? `usable ${node.id}` : `${kind} ${vm.id}`),
        ),
      ),
    )
  const moving = movers.filter(({ id }) => kept.has(`move ${id}`))
  const free = new Map(
    targets.map(({ id, memoryMib, vcpus, availableMib }) => {
      const load = base.get(id)!
      return [
        id,
        {
          memoryMib: kept.has(`memory ${id}`)
            ? Math.min(memoryMib - load.memoryMib, availableMib ?? Infinity)
            : Infinity,
          vcpus: kept.has(`vcpus ${id}`) ? vcpus - load.vcpus : Infinity,
        },
      ]
    }),
  )
  const domains = new Map(moving.map((vm) => [vm.id, domainOf(vm)]))
  const domainShapes = new Map(
    targets.map((node) => [node.id, moving.map(({ id }) => (domains.get(id)!.has(node) ? '1' : '0')).join('')]),
  )
  const rules = world.rules.filter(({ id }) => kept.has(`rule ${id}`))
  const moverIds = new Set(movers.map(({ id }) => id))
  return {
    domainShapes,
    movers: moving.toSorted((a, b) => b.memoryMib - a.memoryMib || (a.id < b.id ? -1 : 1)),
    domains,
    free,
    rules,
    rulesOf: rulesByVm(rules),
    // A mover that may stay is nowhere: a rule must not be broken by the place that it leaves.
    placesOf: new Map(world.vms.filter(({ id }) => !moverIds.has(id)).map((vm) => [vm.id, placesOf(vm)])),
    left: budget,
  }
}

function rulesByVm(rules: Rule[]): Map<string, Rule[]> {
  const all = new Map<string, Rule[]>()
  for (const rule of rules) for (const vm of rule.vms) all.set(vm, [...(all.get(vm) ?? []), rule])
  return all
}

const needOf = ({ isRunning, memoryMib, vcpus }: WorldVm): Free =>
  isRunning ? { memoryMib, vcpus } : { memoryMib: 0, vcpus: 0 }

/** True when all movers together need more than all nodes have, which needs no search. */
function isOverfull({ movers, free }: Search): boolean {
  const rooms = [...free.values()]
  const sum = (of: Free[], field: keyof Free) => of.reduce((total, each) => total + Math.max(0, each[field]), 0)
  const needs = movers.map(needOf)
  return (['memoryMib', 'vcpus'] as const).some((field) => sum(needs, field) > sum(rooms, field))
}

function fits({ free, rulesOf, placesOf: known }: Search, on: Map<string, string>, vm: WorldVm, node: string): boolean {
  const [room, need] = [free.get(node)!, needOf(vm)]
  // A guest that is off needs nothing, also on a node that is overfull.
  const isTooMuch = need.memoryMib > room.memoryMib || need.vcpus > room.vcpus
  if (isTooMuch && need.memoryMib + need.vcpus > 0) return false
  return (rulesOf.get(vm.id) ?? []).every(({ kind, vms }) => {
    const others = vms.filter((other) => other !== vm.id)
    const places = others.map((other) => (on.has(other) ? [on.get(other)!] : (known.get(other) ?? [])))
    return kind === 'apart'
      ? !places.flat().includes(node)
      : places.every(([place]) => place === undefined || place === node)
  })
}

/**
 * Nodes that a mover fits on now, the tightest first; of nodes of the same shape, one.
 * @param shapeOf as `shapesOf` has it
 */
function choicesFor(search: Search, on: Map<string, string>, vm: WorldVm, shapeOf: Map<string, string>): string[] {
  const oneOfShape = new Map<string, string>()
  for (const { id } of search.domains.get(vm.id)!) {
    if (!fits(search, on, vm, id)) continue
    const shape = shapeOf.get(id)!
    const known = oneOfShape.get(shape)
    if (known === undefined || id < known) oneOfShape.set(shape, id)
  }
  return [...oneOfShape.values()].toSorted(
    (a, b) => search.free.get(a)!.memoryMib - search.free.get(b)!.memoryMib || (a < b ? -1 : 1),
  )
}

/**
 * The shape of each node. Two nodes of the same shape are the same choice: equal room, in the same domains, and no rule
 * has a VM on either.
 */
function shapesOf(search: Search, on: Map<string, string>): Map<string, string> {
  const { free, rules, placesOf: known, domainShapes } = search
  const named = new Set(rules.flatMap(({ vms }) => vms.flatMap((vm) => on.get(vm) ?? known.get(vm) ?? [])))
  return new Map(
    [...free].map(([node, { memoryMib, vcpus }]) => [
      node,
      named.has(node) ? node : `${memoryMib}/${vcpus}/${domainShapes.get(node)}`,
    ]),
  )
}

function assign(search: Search, on: Map<string, string>): Map<string, string> | null {
  const rest = search.movers.filter(({ id }) => !on.has(id))
  if (rest.length === 0) return on
  const shapes = shapesOf(search, on)
  let next: { vm: WorldVm; choices: string[] } | undefined
  for (const vm of rest) {
    const choices = choicesFor(search, on, vm, shapes)
    if (choices.length === 0) return null
    if (!next || choices.length < next.choices.length) next = { vm, choices }
    if (choices.length === 1) break
  }
  const { vm, choices } = next!
  const need = needOf(vm)
  for (const node of choices) {
    if ((search.left -= 1) <= 0) return null
    const room = search.free.get(node)!
    const before = { ...room }
    room.memoryMib -= need.memoryMib
    room.vcpus -= need.vcpus
    on.set(vm.id, node)
    const found = assign(search, on)
    if (found) return found
    on.delete(vm.id)
    Object.assign(room, before)
    if (search.left <= 0) return null
  }
  return null
}
