import { type Doc, isPlainObject } from '../values/bson.ts'
import { type Collection, findCollection, keyPattern } from '../storage/catalog.ts'
import { checkFields, type Command, documentList } from '../wire/command.ts'
import { badValue, CommandError, notImplemented } from '../errors.ts'
import type { Plan } from '../index/planner.ts'
import type { IndexPlan } from '../index/planner-index.ts'
import { orderedMatches, type Query } from '../query/ordered.ts'
import { parseSelection, planSelection, type Selection } from '../query/selection.ts'
import { deadlineOf, drain, type Reader } from '../query/reader.ts'
import { splitPipeline } from './aggregate/plan.ts'
import { parseFind } from './find.ts'

type Explained = { selection: Selection; query: Query }

const simple = (selection: Selection, limit = 0): Explained => ({
  selection,
  query: { filter: selection.filter, sort: selection.sort, skip: 0, limit, project: undefined },
})

const statement = (inner: Command, field: string): Doc => {
  const [first, ...others] = documentList(inner, field)
  if (!first || others.length > 0) throw badValue('explained writes must have exactly one statement')
  return first
}

const EXPLAINED: Record<string, (inner: Command) => Explained> = {
  find: ({ body }) => parseFind(body),
  count: ({ body }) => simple(parseSelection({ filter: body['query'], hint: body['hint'], limited: false })),
  distinct: ({ body }) => simple(parseSelection({ filter: body['query'], hint: body['hint'], limited: false })),
  aggregate: ({ body }) => {
    const { filter, sort, limit } = splitPipeline(body['pipeline'])
    return simple(parseSelection({ filter, sort, hint: body['hint'], limited: limit > 0 }), limit)
  },
  update: (inner) => {
    const { q, hint, multi } = statement(inner, 'updates')
    return simple(parseSelection({ filter: q, hint, limited: !multi }), multi ? 0 : 1)
  },
  delete: (inner) => {
    const { q, hint, limit } = statement(inner, 'deletes')
    return simple(parseSelection({ filter: q, hint, limited: limit === 1 }), Number(limit ?? 0))
  },
  findAndModify: ({ body }) =>
    simple(parseSelection({ filter: body['query'], sort: body['sort'], hint: body['hint'], limited: true }), 1),
}

const indexScan = ({ index, ranges, reverse, bounded }: IndexPlan): Doc => ({
  stage: 'IXSCAN',
  keyPattern: keyPattern(index),
  indexName: index.name,
  isMultiKey: index.multikey,
  isUnique: index.unique,
  isSparse: index.sparse,
  isPartial: index.partial !== undefined,
  direction: reverse ? 'backward' : 'forward',
  ranges: bounded ? ranges.length : 0,
})

const accessStage = (plan: Plan): Doc => {
  if (plan.kind === 'collection') return { stage: 'COLLSCAN', direction: plan.reverse ? 'backward' : 'forward' }
  const inputStage =
    plan.kind === 'index' ? indexScan(plan) : { stage: 'OR', inputStages: plan.branches.map(indexScan) }
  return { stage: 'FETCH', inputStage }
}

const winningPlan = (plan: Plan, { query }: Explained): Doc => {
  let stage = accessStage(plan)
  if (query.sort && !plan.sorted) {
    const sortPattern = Object.fromEntries(query.sort.paths.map((path, i) => [path, query.sort?.directions[i]]))
    stage = { stage: 'SORT', sortPattern, inputStage: stage }
  }
  if (query.skip > 0) stage = { stage: 'SKIP', skipAmount: query.skip, inputStage: stage }
  if (query.limit > 0) stage = { stage: 'LIMIT', limitAmount: query.limit, inputStage: stage }
  return stage
}

const innerCommand = (command: Command): Command => {
  const body = command.body['explain']
  const name = isPlainObject(body) ? Object.keys(body)[0] : undefined
  if (!isPlainObject(body) || name === undefined) throw new CommandError(14, 'explain needs a command')
  return { name, db: command.db, body, sequences: command.sequences }
}

const execute = async (
  reader: Reader,
  collection: Collection | undefined,
  plan: Plan,
  { query }: Explained,
  maxTimeMs: number | undefined,
): Promise<Doc> => {
  const stats = { keys: 0, docs: 0 }
  const startMs = performance.now()
  let nReturned = 0
  if (collection) {
    const count = (): boolean => {
      nReturned++
      return false
    }
    await drain(orderedMatches(reader.catalog, collection, plan, query, stats), count, deadlineOf(maxTimeMs))
  }
  return {
    executionSuccess: true,
    nReturned,
    executionTimeMillis: Math.round(performance.now() - startMs),
    totalKeysExamined: stats.keys,
    totalDocsExamined: stats.docs,
  }
}

const VERBOSITIES = new Set<unknown>(['queryPlanner', 'executionStats', 'allPlansExecution'])

/** Says how a command would find its documents, and unless only the plan is asked, how much it reads. */
export const explain = async (reader: Reader, command: Command): Promise<Doc> => {
  checkFields(command, ['verbosity', ...command.sequences.keys()])
  const { verbosity = 'allPlansExecution' } = command.body
  if (!VERBOSITIES.has(verbosity))
    throw badValue(`Enumeration value '${String(verbosity)}' for field 'explain.verbosity' is not a valid value.`)
  const inner = innerCommand(command)
  const parse = EXPLAINED[inner.name]
  if (!parse) throw notImplemented(`Explaining '${inner.name}'`)
  const explained = parse(inner)
  const name = String(inner.body[inner.name])
  const collection = findCollection(reader.catalog, command.db, name)
  const empty: Plan = { kind: 'collection', residual: explained.query.filter, reverse: false, sorted: true }
  const plan = collection ? planSelection(reader.catalog, collection, explained.selection) : empty
  const queryPlanner = {
    namespace: `${command.db}.${name}`,
    winningPlan: collection ? winningPlan(plan, explained) : { stage: 'EOF' },
    rejectedPlans: [],
  }
  const isPlanOnly = verbosity === 'queryPlanner'
  const executionStats = isPlanOnly
    ? {}
    : { executionStats: await execute(reader, collection, plan, explained, undefined) }
  return { explainVersion: '1', queryPlanner, ...executionStats, command: inner.body, ok: 1 }
}
