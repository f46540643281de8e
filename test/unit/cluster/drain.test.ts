import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planMoves } from '../../../services/cluster/drain/plan.ts'
import { type Constraint, keyOf, type Problem, problemOf } from '../../../services/cluster/placement/constraints.ts'
import { explain } from '../../../services/cluster/placement/explain.ts'
import { solve } from '../../../services/cluster/placement/solve.ts'
import type { World } from '../../../services/cluster/placement/world.ts'
import { node, vm, world, worlds } from './worlds.ts'

const drainOf = (drawn: World, from = 'n0'): Problem =>
  problemOf(
    drawn,
    drawn.vms.filter((each) => each.node === from),
    drawn.nodes.filter(({ id }) => id !== from),
  )
const planOf = (drawn: World, from = 'n0') => {
  const { movers, targets } = drainOf(drawn, from)
  return planMoves(drawn, from, { movers, targets, stays: [], bandwidthMib: 100 })
}

/** All constraints, checked one by one over a finished assignment: independent of the search. */
function holds({ world: drawn, movers, targets }: Problem, kept: Set<string>, on: Map<string, string>): boolean {
  const moving = movers.filter(({ id }) => kept.has(`move ${id}`))
  const isMover = new Set(movers.map(({ id }) => id))
  const place = (id: string) =>
    on.get(id) ?? (isMover.has(id) ? undefined : drawn.vms.find((each) => each.id === id)?.node)
  const fitsAlone = moving.every((each) => {
    const target = targets.find(({ id }) => id === on.get(each.id))!
    if (kept.has(`usable ${target.id}`) && target.unusable !== null) return false
    if (kept.has(`cpu ${each.id}`) && target.accel !== each.accel) return false
    const isReached = each.pools.every((pool) => {
      const reaching = drawn.pools.find(({ id }) => id === pool)!.nodes
      return reaching === null || reaching.includes(target.id)
    })
    return isReached || !kept.has(`storage ${each.id}`)
  })
  const hasRoom = targets.every((target) => {
    const arrived = moving.filter(({ id, isRunning }) => isRunning && on.get(id) === target.id)
    if (arrived.length === 0) return true
    const there = drawn.vms.filter((each) => each.node === target.id && each.isRunning && !isMover.has(each.id))
    const sum = (field: 'memoryMib' | 'vcpus') => [...there, ...arrived].reduce((total, each) => total + each[field], 0)
    return (
      (!kept.has(`memory ${target.id}`) || sum('memoryMib') <= target.memoryMib) &&
      (!kept.has(`vcpus ${target.id}`) || sum('vcpus') <= target.vcpus)
    )
  })
  const keepsRules = drawn.rules.every(({ id, kind, vms }) => {
    if (!kept.has(`rule ${id}`)) return true
    return moving.every((each) => {
      if (!vms.includes(each.id)) return true
      const others = vms.filter((other) => other !== each.id).map(place)
      const own = on.get(each.id)
      return others.every((other) => other === undefined || (kind === 'apart' ? other !== own : other === own))
    })
  })
  return fitsAlone && hasRoom && keepsRules
}

/** Tries every assignment. */
function isPossible(problem: Problem, constraints: readonly Constraint[]): boolean {
  const kept = new Set(constraints.map(keyOf))
  const moving = problem.movers.filter(({ id }) => kept.has(`move ${id}`))
  const tryFrom = (index: number, on: Map<string, string>): boolean => {
    if (index === moving.length) return holds(problem, kept, on)
    return problem.targets.some(({ id }) => tryFrom(index + 1, new Map([...on, [moving[index]!.id, id]])))
  }
  return tryFrom(0, new Map())
}

/** Worlds of up to 6 nodes and 12 VMs, in which no more than 6 VMs move: brute force has to end. */
const drains = worlds(12).filter((drawn) => drawn.vms.filter((each) => each.node === 'n0').length <= 6)
const runs = process.env['TORTURE'] ? 5000 : 300

describe('the solver', () => {
  test('finds a placement exactly when there is one, and it keeps every constraint', () => {
    const seen = { placed: 0, infeasible: 0 }
    fc.assert(
      fc.property(drains, (drawn) => {
        const problem = drainOf(drawn)
        const found = solve(problem)
        expect(found.kind).toBe(isPossible(problem, problem.constraints) ? 'placed' : 'infeasible')
        if (found.kind === 'placed')
          expect(holds(problem, new Set(problem.constraints.map(keyOf)), found.on)).toBe(true)
        if (found.kind !== 'unknown') seen[found.kind]++
      }),
      { numRuns: runs },
    )
    // The drawn worlds are of both kinds.
    expect(Math.min(seen.placed, seen.infeasible)).toBeGreaterThan(runs / 20)
  })

  test('finds a placement also of some constraints exactly when there is one', () => {
    fc.assert(
      fc.property(drains, fc.infiniteStream(fc.boolean()), (drawn, coins) => {
        const problem = drainOf(drawn)
        const some = problem.constraints.filter(() => coins.next().value)
        expect(solve(problem, some).kind).toBe(isPossible(problem, some) ? 'placed' : 'infeasible')
      }),
      { numRuns: runs },
    )
  })

  test('ends also where brute force would not, and says so when it gives up', () => {
    const nodes = Array.from({ length: 13 }, (_, index) => node(`n${index}`, { memoryMib: 1000 + (index % 3) }))
    const vms = Array.from({ length: 40 }, (_, index) =>
      vm(`v${index}`, 'n0', { memoryMib: 301 + ((index * 7) % 13), vcpus: 0 }),
    )
    expect(['unknown', 'infeasible']).toContain(solve(drainOf(world({ nodes, vms }))).kind)
  })
})

describe('the conflicts of an impossible drain', () => {
  test('are each impossible, and possible without any one of their constraints', () => {
    let conflicts = 0
    fc.assert(
      fc.property(drains, (drawn) => {
        const problem = drainOf(drawn)
        fc.pre(!isPossible(problem, problem.constraints))
        const explained = explain(problem)
        expect(explained.conflicts.length).toBeGreaterThan(0)
        for (const { constraints, isIrreducible } of explained.conflicts) {
          conflicts++
          expect(isIrreducible).toBe(true)
          expect(isPossible(problem, constraints)).toBe(false)
          for (const one of constraints)
            expect(
              isPossible(
                problem,
                constraints.filter((each) => each !== one),
              ),
            ).toBe(true)
        }
      }),
      { numRuns: Math.ceil(runs / 3) },
    )
    expect(conflicts).toBeGreaterThan(20)
  })

  test('are two when one guest is too large and two others are kept apart, and each remedy frees its own', () => {
    const nodes = [node('n0', { memoryMib: 4000 }), node('n1', { memoryMib: 1000 })]
    const vms = [vm('big', 'n0', { memoryMib: 1100 }), vm('web-1', 'n0'), vm('web-2', 'n0')]
    const rules = [{ id: 'web-apart', kind: 'apart' as const, vms: ['web-1', 'web-2'] }]
    const plan = planOf(world({ nodes, vms, rules }))
    expect(plan).toMatchObject({ status: 'impossible', moves: [], are_all_conflicts_known: true })
    const sets = plan.conflicts.map(({ constraints }) =>
      constraints.map(({ kind, subject }) => `${kind} ${subject}`).toSorted(),
    )
    expect(sets).toEqual([
      ['memory n1', 'move big'],
      ['move web-1', 'move web-2', 'rule web-apart'],
    ])
    expect(plan.conflicts.map(({ remedies }) => remedies.toSorted())).toEqual([
      ["Free 100 MiB of memory on node 'n1'", "Shut down virtual machine 'big'"],
      ["Lift rule 'web-apart'", "Shut down virtual machine 'web-1'", "Shut down virtual machine 'web-2'"],
    ])
    expect(plan.conflicts[0]!.constraints.map(({ text }) => text)).toContain(
      "Node 'n1' has 1000 MiB of memory left for guests",
    )
  })

  test('name a node in maintenance and a storage pool that is not reached', () => {
    const nodes = [node('n0'), node('n1', { unusable: 'it is in maintenance' }), node('n2')]
    const vms = [vm('db', 'n0', { pools: ['p'] })]
    const plan = planOf(world({ nodes, vms, pools: [{ id: 'p', nodes: ['n0', 'n1'], isActive: true }] }))
    expect(plan.conflicts).toHaveLength(1)
    expect(plan.conflicts[0]!.constraints.map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        "Node 'n1' takes no guests: it is in maintenance",
        expect.stringMatching(/'db': on 'n2' it does not reach storage pool 'p'/),
      ]),
    )
    expect(plan.conflicts[0]!.remedies).toContain("Bring node 'n1' back")
  })
})

describe('the plan of a drain', () => {
  test('has an order, the load at its peak and the least time', () => {
    const nodes = [node('n0', { memoryMib: 4000 }), node('n1', { memoryMib: 2000 })]
    const vms = [
      vm('old', 'n1', { memoryMib: 500 }),
      vm('large', 'n0', { memoryMib: 800, vcpus: 4 }),
      vm('small', 'n0', { memoryMib: 200 }),
    ]
    const plan = planOf(world({ nodes, vms }))
    expect(plan.moves.map(({ vm_id, to }) => [vm_id, to])).toEqual([
      ['small', 'n1'],
      ['large', 'n1'],
    ])
    expect(plan.peaks).toEqual([{ node: 'n1', memory_mib: 1500, of_memory_mib: 2000, vcpus: 6, of_vcpus: 16 }])
    expect(plan.at_least_seconds).toBe(10)
  })

  test('counts the measured memory of the nodes that take guests', () => {
    const nodes = [node('n0'), node('n1', { memoryMib: 2000, availableMib: 50 })]
    const plan = planOf(world({ nodes, vms: [vm('a', 'n0')] }))
    expect(plan.status).toBe('impossible')
    expect(plan.conflicts[0]!.remedies).toContain("Free 50 MiB of memory on node 'n1'")
  })

  test('is the same for the same inventory, and another one for another', () => {
    const of = (memoryMib: number) =>
      planOf(world({ nodes: [node('n0'), node('n1'), node('n2', { memoryMib })], vms: [vm('a', 'n0')] }))
    expect(of(2000)).toEqual(of(2000))
    expect(of(2000).plan_id).not.toBe(of(500).plan_id)
  })
})
