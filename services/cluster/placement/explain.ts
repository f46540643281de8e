import { type Constraint, keyOf, type Problem } from './constraints.ts'
import { solve } from './solve.ts'

/** Why a drain is impossible: constraints that cannot hold together, and can without any one of them. */
export type Conflict = {
  constraints: Constraint[]
  /** False when a search used up its budget: a smaller set may do. */
  isIrreducible: boolean
}

export type Explanation = {
  conflicts: Conflict[]
  /** No conflict beside these exists. */
  isComplete: boolean
}

const mostConflicts = 5
/** Nodes of the hitting-set tree that are looked at. */
const mostBranches = 60

type Oracle = { isPossible: (constraints: readonly Constraint[]) => boolean; hasGivenUp: () => boolean }

/** Asks the solver, and takes a search without an end for possible, which is noted. */
function oracleOf(problem: Problem): Oracle {
  let gaveUp = false
  return {
    isPossible: (constraints) => {
      const { kind } = solve(problem, constraints)
      if (kind === 'unknown') gaveUp = true
      return kind !== 'infeasible'
    },
    hasGivenUp: () => gaveUp,
  }
}

/**
 * One irreducible conflict within these constraints (QuickXplain, Junker 2004), or null when they are possible.
 * Constraints at the front are kept in preference to those behind them.
 */
function quickXplain({ isPossible }: Oracle, constraints: readonly Constraint[]): Constraint[] | null {
  if (isPossible(constraints)) return null
  const within = (background: readonly Constraint[], added: number, rest: readonly Constraint[]): Constraint[] => {
    if (added > 0 && !isPossible(background)) return []
    if (rest.length === 1) return [...rest]
    const half = Math.ceil(rest.length / 2)
    const [left, right] = [rest.slice(0, half), rest.slice(half)]
    const ofRight = within([...background, ...left], left.length, right)
    const ofLeft = within([...background, ...ofRight], ofRight.length, left)
    return [...ofLeft, ...ofRight]
  }
  return within([], 0, constraints)
}

/**
 * Up to five irreducible conflicts of an impossible drain, the smallest first: each conflict that is found is broken by
 * leaving out one of its constraints, in a tree (Reiter's hitting sets).
 */
export function explain(problem: Problem): Explanation {
  const found = new Map<string, Conflict>()
  const queue: ReadonlySet<string>[] = [new Set()]
  const seen = new Set<string>()
  let branches = 0
  let isComplete = true
  while (queue.length > 0) {
    if (found.size >= mostConflicts || branches >= mostBranches) {
      isComplete = false
      break
    }
    const left = queue.shift()!
    const known = [...found.values()].find(({ constraints }) => constraints.every((each) => !left.has(keyOf(each))))
    if (!known) branches += 1
    const { conflict, gaveUp } = known ? { conflict: known, gaveUp: false } : conflictWithout(problem, left)
    if (gaveUp) isComplete = false
    if (!conflict) continue
    found.set(conflict.constraints.map(keyOf).toSorted().join('|'), conflict)
    for (const constraint of conflict.constraints) {
      const next = new Set([...left, keyOf(constraint)])
      const path = [...next].toSorted().join('|')
      if (!seen.has(path)) queue.push(next)
      seen.add(path)
    }
  }
  return { conflicts: [...found.values()].toSorted((a, b) => a.constraints.length - b.constraints.length), isComplete }
}

function conflictWithout(problem: Problem, left: ReadonlySet<string>): { conflict: Conflict | null; gaveUp: boolean } {
  const oracle = oracleOf(problem)
  const constraints = quickXplain(
    oracle,
    problem.constraints.filter((each) => !left.has(keyOf(each))),
  )
  const gaveUp = oracle.hasGivenUp()
  return { conflict: constraints && { constraints, isIrreducible: !gaveUp }, gaveUp }
}
