import { decode, type Doc, encode, isPlainObject } from '../bson.ts'
import { findCollection } from '../catalog.ts'
import { checkFields, type Command, naturalNumber, refuse } from '../command.ts'
import { countSelected, planned } from '../counting.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { orderedMatches, type Query } from '../query.ts'
import { parseSelection, planSelection, type Selection } from '../question.ts'
import { deadlineOf, type FirstBatch, firstBatch, type Reader } from '../reader.ts'
import { countOnly, splitPipeline } from './aggregate-plan.ts'
import { compileStages, type DocStream } from './aggregate-stages.ts'
import { sessionOf } from './find.ts'
import type { DocumentStream } from '../cursors.ts'

const FIELDS = ['pipeline', 'cursor', 'explain', 'allowDiskUse', 'bypassDocumentValidation', 'collation', 'hint', 'let']

function* source(
  reader: Reader,
  db: string,
  name: string,
  selection: Selection,
  query: Query,
): Generator<Uint8Array | null> {
  const { catalog } = reader
  const collection = findCollection(catalog, db, name)
  if (!collection) return
  const plan = planSelection(catalog, collection, selection)
  for (const match of orderedMatches(catalog, collection, plan, query, { keys: 0, docs: 0 })) yield match && match.bytes
}

function* decoded(stream: DocumentStream): DocStream {
  for (const bytes of stream) yield bytes && decode(bytes)
}

function* encoded(stream: DocStream): DocumentStream {
  for (const doc of stream) yield doc && encode(doc, 10334)
}

/** Counts without looking at the documents where the keys are enough; no documents make no group. */
const counted = async (
  reader: Reader,
  { db, body }: Command,
  selection: Selection,
  { skip, limit }: Query,
  { id, field }: { id: unknown; field: string },
): Promise<Generator<Uint8Array | null>> => {
  const target = planned(reader, db, String(body['aggregate']), selection)
  const stopAt = limit > 0 ? skip + limit : Infinity
  const found = target ? await countSelected(reader, target, stopAt, naturalNumber(body, 'maxTimeMS')) : 0
  const n = Math.max(0, found - skip)
  return encoded(one(n > 0 ? { _id: id, [field]: n } : undefined))
}

function* one(doc: Doc | undefined): DocStream {
  if (doc) yield doc
}

export const aggregate = async (reader: Reader, command: Command): Promise<Buffer> => {
  const { body, db } = command
  checkFields(command, FIELDS)
  refuse(body, ['let', 'explain'])
  const name = body['aggregate']
  if (typeof name !== 'string') throw notImplemented('An aggregation that is not on a collection')
  if (!isPlainObject(body['cursor']))
    throw new CommandError(9, "The 'cursor' option is required, except for aggregate with the explain argument")
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
    batchSize: naturalNumber(body['cursor'], 'batchSize'),
    single: false,
    session: sessionOf(command),
    deadline: deadlineOf(naturalNumber(body, 'maxTimeMS')),
  }
  const count = countOnly(rest)
  if (count) return firstBatch(reader, await counted(reader, command, selection, query, count), options)
  const documents = source(reader, db, name, selection, query)
  return firstBatch(reader, rest.length === 0 ? documents : encoded(stages(decoded(documents))), options)
}
