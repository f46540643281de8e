import { type Doc, isPlainObject } from '../values/bson.ts'
import { findCollection } from '../storage/catalog.ts'
import { checkFields, collectionName, type Command, refuse } from '../wire/command.ts'
import { naturalNumber, strictFlag, timeLimit } from '../wire/fields.ts'
import { parseProjection } from '../query/projection.ts'
import { findDocuments, type Query } from '../query/ordered.ts'
import { parseSelection, planSelection, type Selection } from '../query/selection.ts'
import { deadlineOf, firstBatch, type Reader } from '../query/reader.ts'
import type { ScanStats } from '../query/scan.ts'
import type { DocumentStream } from '../query/cursors.ts'

const FIELDS = [
  'filter',
  'sort',
  'projection',
  'hint',
  'skip',
  'limit',
  'batchSize',
  'singleBatch',
  'collation',
  'allowDiskUse',
  'noCursorTimeout',
  'allowPartialResults',
  'max',
  'min',
  'returnKey',
  'showRecordId',
  'tailable',
  'awaitData',
  'oplogReplay',
  'let',
  'term',
]
const UNSUPPORTED = [
  'max',
  'min',
  'returnKey',
  'showRecordId',
  'tailable',
  'awaitData',
  'oplogReplay',
  'let',
  'term',
  'noCursorTimeout',
]

export type ParsedFind = { selection: Selection; query: Query; batchSize: number | undefined; single: boolean }

/** Parses a find. */
export const parseFind = (body: Doc): ParsedFind => {
  refuse(body, UNSUPPORTED)
  const limit = naturalNumber(body, 'limit') ?? 0
  const selection = parseSelection({
    filter: body['filter'],
    sort: body['sort'],
    hint: body['hint'],
    collation: body['collation'],
    limited: limit > 0,
  })
  const query: Query = {
    filter: selection.filter,
    sort: selection.sort,
    skip: naturalNumber(body, 'skip') ?? 0,
    limit,
    project: parseProjection(body['projection']),
  }
  return {
    selection,
    query,
    batchSize: naturalNumber(body, 'batchSize'),
    single: strictFlag(body, 'singleBatch', false),
  }
}

/** The id of the session that a command belongs to. */
export const sessionOf = ({ body }: Command): string | undefined => {
  const lsid = body['lsid']
  const id = isPlainObject(lsid) ? lsid['id'] : undefined
  return id === undefined ? undefined : String(id)
}

/** Plans when it is first pulled, inside the snapshot of that turn. */
function* stream(
  reader: Reader,
  db: string,
  name: string,
  { selection, query }: ParsedFind,
  stats: ScanStats,
): DocumentStream {
  const { catalog } = reader
  const collection = findCollection(catalog, db, name)
  if (!collection) return
  const plan = planSelection(catalog, collection, selection)
  yield* findDocuments(catalog, collection, plan, query, stats)
}

export const find = async (reader: Reader, command: Command): Promise<Buffer> => {
  checkFields(command, FIELDS)
  const name = collectionName(command)
  const parsed = parseFind(command.body)
  const { batchSize, single } = parsed
  return firstBatch(reader, stream(reader, command.db, name, parsed, { keys: 0, docs: 0 }), {
    namespace: `${command.db}.${name}`,
    batchSize,
    // with a limit of one there is no second document to wait for
    single: single || parsed.query.limit === 1,
    session: sessionOf(command),
    deadline: deadlineOf(timeLimit(command.body)),
  })
}
