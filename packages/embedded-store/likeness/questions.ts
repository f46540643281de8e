import fc, { type Arbitrary } from 'fast-check'
import { anySort, byPath, filter, projection, sort, type Spec } from './filters.ts'
import { pipeline } from './stages.ts'
import { arrayFilters, update } from './updates.ts'
import { fields, path } from './values.ts'

/** Commands that are asked of the same documents, anew for each where they write. */
export type Question = { documents: Spec[]; indexes: Spec[]; commands: Spec[]; writes: boolean }

export const COLLECTION = 'things'

const numbered = (all: Spec[]): Spec[] => all.map((one, _id) => ({ _id, ...one }))
const documents = (count: number) => fc.array(fields, { minLength: count, maxLength: count }).map(numbered)

const question = (
  count: number,
  commands: Arbitrary<Spec>,
  { asked, writes, indexes = fc.constant([]) }: { asked: number; writes: boolean; indexes?: Arbitrary<Spec[]> },
): Arbitrary<Question> =>
  fc.record({
    documents: documents(count),
    indexes,
    commands: fc.array(commands, { minLength: asked, maxLength: asked }),
    writes: fc.constant(writes),
  })

const byId = { sort: { _id: 1 } }
const ids = { projection: { _id: 1 } }
const finds = filter.map((asked): Spec => ({ find: COLLECTION, filter: asked, ...byId, ...ids }))
const sorts = fc
  .tuple(anySort, fc.constantFrom<Spec>({}, { skip: 3 }, { limit: 5 }, { skip: 2, limit: 4 }))
  .map(([order, page]): Spec => ({ find: COLLECTION, sort: order, ...page, ...ids }))
const sortedFinds = fc
  .tuple(filter, fc.option(sort, { nil: { _id: 1 } }))
  .map(([asked, order]): Spec => ({ find: COLLECTION, filter: asked, sort: order, ...ids }))
const projections = projection.map((shown): Spec => ({ find: COLLECTION, projection: shown, ...byId }))

const INDEX_OPTIONS: Spec[] = [
  {},
  {},
  { sparse: true },
  { partialFilterExpression: { b: { $exists: true } } },
  { partialFilterExpression: { a: { $gt: 1 } } },
]
const indexes = fc.array(
  fc.tuple(byPath(path, fc.constantFrom(1, -1), 2), fc.constantFrom(...INDEX_OPTIONS)).map(([key, options]): Spec => ({
    key,
    ...options,
  })),
  { minLength: 1, maxLength: 2 },
)
const UNIQUE_OPTIONS: Spec[] = [
  { unique: true },
  { unique: true, sparse: true },
  {},
  { sparse: 'x' },
  { nonsense: 1 },
  { name: '' },
  { unique: true, partialFilterExpression: { b: { $exists: true } } },
]
const uniques = fc
  .tuple(byPath(path, fc.constant(1), 2), fc.constantFrom(...UNIQUE_OPTIONS))
  .map(([key, options]): Spec => ({ createIndexes: COLLECTION, indexes: [{ key, name: 'i', ...options }] }))

const updating = (statement: Spec): Spec => ({ update: COLLECTION, updates: [statement] })
const updates = fc.tuple(update, arrayFilters).map(([u, given]) => updating({ q: { _id: 0 }, u, arrayFilters: given }))
const positional = fc.tuple(filter, update).map(([q, u]) => updating({ q, u, multi: true }))
const upserts = fc
  .tuple(filter, update, arrayFilters)
  .map(([q, u, given]) => updating({ q: { ...q, _id: 5 }, u, arrayFilters: given, upsert: true }))
const MODIFY_OPTIONS: Spec[] = [{}, { new: true }, { fields: { a: 1 } }, { fields: { 'c.x': 0 }, new: true }]
const modifies = fc
  .tuple(filter, update, sort, fc.constantFrom(...MODIFY_OPTIONS))
  .map(([query, changed, order, options]): Spec => ({
    findAndModify: COLLECTION,
    query,
    update: changed,
    sort: order,
    ...options,
  }))

const aggregations = pipeline.map((stages): Spec => ({ aggregate: COLLECTION, pipeline: stages, cursor: {} }))

/** Commands that every server of MongoDB's protocol answers alike, by area. */
export const questions = {
  find: question(25, finds, { asked: 60, writes: false }),
  sort: question(25, sorts, { asked: 60, writes: false }),
  indexes: question(25, sortedFinds, { asked: 40, writes: false, indexes }),
  projection: question(12, projections, { asked: 40, writes: false }),
  aggregate: question(4, aggregations, { asked: 40, writes: false }),
  update: question(1, updates, { asked: 8, writes: true }),
  positional: question(3, positional, { asked: 8, writes: true }),
  upsert: question(0, upserts, { asked: 8, writes: true }),
  unique: question(3, uniques, { asked: 6, writes: true }),
  findAndModify: question(4, modifies, { asked: 8, writes: true }),
} satisfies Record<string, Arbitrary<Question>>

export type Area = keyof typeof questions
export const AREAS = Object.keys(questions) as Area[]

/** As many questions of an area as wanted, the same for the same seed. */
export const drawn = (area: Area, seed: number, count: number): Question[] =>
  fc.sample(questions[area], { seed, numRuns: count })
