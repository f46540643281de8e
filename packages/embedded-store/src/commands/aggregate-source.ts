import { decode, type Doc, encode, isPlainObject } from '../values/bson.ts'
import { type Catalog, findCollection } from '../storage/catalog.ts'
import type { DocumentStream } from '../query/cursors.ts'
import { CommandError } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import { orderedMatches, type Query } from '../query/ordered.ts'
import { parseSelection, planSelection, type Selection } from '../query/selection.ts'
import type { DocStream, Environment } from './aggregate-environment.ts'
import { parseStages, splitPipeline } from './aggregate-plan.ts'
import { compileStages } from './aggregate-stages.ts'

/** The documents that a pipeline begins with; planned when the first is asked for. */
export function* source(
  { catalog, db }: { catalog: Catalog; db: string },
  name: string,
  selection: Selection,
  query: Query,
): DocumentStream {
  const collection = findCollection(catalog, db, name)
  if (!collection) return
  const plan = planSelection(catalog, collection, selection)
  for (const match of orderedMatches(catalog, collection, plan, query, { keys: 0, docs: 0 })) yield match && match.bytes
}

export function* decoded(stream: DocumentStream): DocStream {
  for (const bytes of stream) yield bytes && decode(bytes)
}

export function* encoded(stream: DocStream): DocumentStream {
  for (const doc of stream) yield doc && encode(doc, 10334)
}

const onCollection = (environment: Environment, name: string, pipeline: unknown): DocStream => {
  const { filter, sort, skip, limit, rest } = splitPipeline(pipeline)
  const selection = parseSelection({ filter, sort, limited: limit > 0 })
  const query: Query = { filter: selection.filter, sort: selection.sort, skip, limit, project: undefined }
  return compileStages(rest, environment)(decoded(source(environment, name, selection, query)))
}

function* given(documents: Doc[]): DocStream {
  yield* documents
}

/** A pipeline without a collection begins with `$documents`. */
const onDocuments = (environment: Environment, pipeline: unknown): DocStream => {
  const [first, ...rest] = parseStages(pipeline)
  if (first?.[0] !== '$documents')
    throw new CommandError(73, "{aggregate: 1} is not valid for a pipeline that does not begin with '$documents'")
  const documents = evaluate(first[1])({})
  if (!Array.isArray(documents) || !documents.every(isPlainObject))
    throw new CommandError(5858203, '$documents must be an array of objects')
  return compileStages(rest, environment)(given(documents))
}

/** What the stages of a pipeline on a database work in. */
export const environmentOf = (catalog: Catalog, db: string): Environment => {
  const environment: Environment = {
    catalog,
    db,
    run: (name, pipeline) =>
      name === undefined ? onDocuments(environment, pipeline) : onCollection(environment, name, pipeline),
  }
  return environment
}
