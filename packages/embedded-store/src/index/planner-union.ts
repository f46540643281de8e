import type { Catalog, Collection } from '../storage/catalog.ts'
import { filterOf, type Filter } from '../query/matcher.ts'
import { estimate, type IndexPlan, planFor } from './planner-index.ts'
import type { Sort } from '../query/sort.ts'

/** An `$or` whose branches are found by an index each; a document that several find is taken once. */
export type UnionPlan = { kind: 'union'; branches: IndexPlan[]; residual: Filter; sorted: boolean }

const MAX_BRANCHES = 100

/** The plan with the fewest keys for one branch and the other conditions; remaining conditions are tested later. */
const branchPlan = (
  catalog: Catalog,
  { indexes }: Collection,
  { predicates }: Filter,
  branch: Filter,
): IndexPlan | undefined => {
  const filter = filterOf([...predicates, ...branch.predicates], branch.unions, [])
  const plans = indexes
    .map((index) => planFor(index, { filter, sort: undefined }))
    .filter((plan) => plan?.bounded === true)
    .map((plan) => ({ plan, keys: plan ? estimate(catalog, plan) : 0 }))
  return plans.sort((a, b) => a.keys - b.keys)[0]?.plan
}

/** Undefined when no `$or` has an index for each of its branches. */
export const unionPlan = (
  catalog: Catalog,
  collection: Collection,
  { filter, sort }: { filter: Filter; sort: Sort | undefined },
): UnionPlan | undefined => {
  for (const branches of filter.unions) {
    if (branches.length > MAX_BRANCHES) continue
    const plans = branches
      .map((branch) => branchPlan(catalog, collection, filter, branch))
      .filter((plan) => plan !== undefined)
    if (plans.length === branches.length)
      return { kind: 'union', branches: plans, residual: filter, sorted: sort === undefined }
  }
  return undefined
}
