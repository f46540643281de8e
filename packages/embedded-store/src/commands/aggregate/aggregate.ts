import { decode, type Doc, encode, isPlainObject } from '../../values/bson.ts'
import { CommandError, typeMismatch } from '../../errors.ts'
import { countSelected, planned } from '../../query/counting.ts'
import type { DocumentStream } from '../../query/cursors.ts'
import { orderedMatches, type Query } from '../../query/ordered.ts'
import { deadlineOf, type FirstBatch, firstBatch, type Reader } from '../../query/reader.ts'
import { parseSelection, planSelection, type Selection } from '../../query/selection.ts'
import { findCollection } from '../../storage/catalog.ts'
import { checkFields, collectionName, type Command, refuse } from '../../wire/command.ts'
import { checkRequired, naturalNumber, timeLimit } from '../../wire/fields.ts'
import { countOnly, splitPipeline } from './plan.ts'
import { compileStages, type DocStream } from './stages.ts'
import { sessionOf } from '../find.ts'

const FIELDS = ['pipeline', 'cursor', 'explain', 'allowDiskUse', 'bypassDocumentValidation', 'collation', 'hint', 'let']

/** The documents that a pipeline begins with, as bytes; planned when the first one is pulled. */
function* source({ catalog }: Reader, db: string, name: string, selection: Selection, query: Query): DocumentStream {
  const collection = findCollection(catalog, db, name)
  if (!collection) return
  const plan = planSelection(catalog, collection, selection)
  for (const match of orderedMatches(catalog, collection, plan, query, { keys: 0, docs: 0 })) yield match && match.bytes
}

function* decoded(stream: DocumentStream): DocStream {
  for (const bytes of stream) yield bytes && decode(bytes)
}

function* encoded(stream: Iterable<Doc | null>): DocumentStream {
  for (const doc of stream) yield doc && encode(doc, 10334)
}

/** Counts without reading documents where the keys of an index are enough; no documents make no group. */
const counted = async (
  reader: Reader,
  command: Command,
  selection: Selection,
  { skip, limit }: Query,
  { id, field }: { id: unknown; field: string },
): Promise<DocumentStream> => {
  const target = planned(reader, command.db, collectionName(command), selection)
  const stopAt = limit > 0 ? skip + limit : Infinity
  const found = target ? await countSelected(reader, target, stopAt, timeLimit(command.body)) : 0
  const n = Math.max(0, found - skip)
  return encoded(n > 0 ? [{ _id: id, [field]: n }] : [])
}

const cursorOptions = (body: Doc): Doc => {
  const options = body['cursor']
  if (options === undefined || options === null)
    throw new CommandError(9, "The 'cursor' option is required, except for aggregate with the explain argument")
  if (!isPlainObject(options)) throw typeMismatch('cursor field must be missing or an object')
  return options
}

export const aggregate = async (reader: Reader, command: Command): Promise<Buffer> => {
  const { body, db } = command
  checkFields(command, FIELDS)
  refuse(body, ['let', 'explain'])
  if (typeof body['aggregate'] === 'number')
    throw new CommandError(73, '{aggregate: 1} is for stages that the embedded store does not have')
  const name = collectionName(command)
  checkRequired('aggregate', body, ['pipeline'])
  const batchSize = naturalNumber(cursorOptions(body), 'batchSize')
  const { filter, sort, skip, limit, rest } = splitPipeline(body['pipeline'])
  const selection = parseSelection({
    filter,
    sort,
    hint: body['hint'],
    collation: body['collation'],
    limited: limit > 0,
  })
  const query: Query = { filter: selection.filter, sort: selection.sort, skip, limit, project: undefined }
  const stages = compileStages(rest)
  const options: FirstBatch = {
    namespace: `${db}.${name}`,
    batchSize,
    single: false,
    session: sessionOf(command),
    deadline: deadlineOf(timeLimit(body)),
  }
  const count = countOnly(rest)
  if (count) return firstBatch(reader, await counted(reader, command, selection, query, count), options)
  const documents = source(reader, db, name, selection, query)
  return firstBatch(reader, rest.length === 0 ? documents : encoded(stages(decoded(documents))), options)
}
