import type { Catalog, Collection, Index } from '../storage/catalog.ts'
import type { Filter } from '../query/matcher.ts'
import { estimate, FEW, type IndexPlan, planFor } from './planner-index.ts'
import { unionPlan, type UnionPlan } from './planner-union.ts'
import type { Sort } from '../query/sort.ts'

export type CollectionPlan = { kind: 'collection'; residual: Filter; reverse: boolean; sorted: boolean }

export type Plan = IndexPlan | UnionPlan | CollectionPlan

export type Question = { filter: Filter; sort: Sort | undefined; limited: boolean; hint: Index | 'natural' | undefined }

type Rated = { plan: IndexPlan; keys: number }

const byCost = (a: Rated, b: Rated): number =>
  a.keys - b.keys || b.plan.equal - a.plan.equal || Number(b.plan.sorted) - Number(a.plan.sorted)

/** Between few documents that must be sorted and many that come in the wanted order. */
const cheapestSorted = (rated: Rated[], plans: IndexPlan[], limited: boolean): IndexPlan | undefined => {
  const [best] = rated
  const sorted = rated.find(({ plan }) => plan.sorted)
  if (sorted && (sorted.plan.residual.always || sorted.keys <= 4 * (best?.keys ?? 0) + 50 || (best?.keys ?? 0) > FEW))
    return sorted.plan
  if (best && (best.keys <= FEW || !limited)) return best.plan
  return plans.find((plan) => plan.sorted) ?? best?.plan
}

const cheapest = (catalog: Catalog, plans: IndexPlan[], { sort, limited }: Question): IndexPlan | undefined => {
  const bounded = plans.filter((plan) => plan.bounded)
  const point = bounded.find(({ index, equal }) => index.unique && equal === index.paths.length)
  if (point || plans.length <= 1) return point ?? plans[0]
  const rated = bounded
    .map((plan) => ({ plan, keys: bounded.length === 1 && !sort ? 0 : estimate(catalog, plan) }))
    .sort(byCost)
  return sort ? cheapestSorted(rated, plans, limited) : rated[0]?.plan
}

/** Between one index for all and one for each branch of an `$or`. */
const cheaper = (
  catalog: Catalog,
  single: IndexPlan,
  union: UnionPlan,
  { limited }: Question,
): IndexPlan | UnionPlan => {
  const keys = union.branches.reduce((sum, branch) => sum + estimate(catalog, branch), 0)
  if (single.bounded) return estimate(catalog, single) <= keys ? single : union
  // without bounds it gives the order, which is worth most where only the first documents are wanted
  return keys > FEW && limited ? single : union
}

/**
 * Chooses how to find documents: an index whose bounds are narrow or whose order is the wanted one, or one for each
 * branch of an `$or`, otherwise all of the collection. An index serves when it is bounded or gives the order; one that
 * does neither is of no use.
 */
export const plan = (catalog: Catalog, collection: Collection, question: Question): Plan => {
  const { filter, sort, hint, limited } = question
  const scan: CollectionPlan = { kind: 'collection', residual: filter, reverse: false, sorted: sort === undefined }
  if (hint === 'natural') return scan
  const indexes = hint ? [hint] : collection.indexes
  const plans = indexes.map((index) => planFor(index, question)).filter((found) => found !== undefined)
  const useful = hint ? plans : plans.filter(({ bounded, sorted }) => bounded || (sort && sorted))
  const single = cheapest(catalog, useful, question)
  // a page in the order of its index: nothing reads less
  if (hint || (single?.bounded && single.sorted && sort && limited)) return single ?? scan
  const union = unionPlan(catalog, collection, question)
  return single && union ? cheaper(catalog, single, union, question) : (single ?? union ?? scan)
}
