import { type Doc, isPlainObject } from '../values/bson.ts'
import { checkFields, type Command, refuse } from '../wire/command.ts'
import { checkRequired, naturalNumber, timeLimit } from '../wire/fields.ts'
import { countSelected, planned } from '../query/counting.ts'
import { CommandError, typeMismatch } from '../errors.ts'
import type { Query } from '../query/ordered.ts'
import { parseSelection, type Selection } from '../query/selection.ts'
import { deadlineOf, type FirstBatch, firstBatch, type Reader } from '../query/reader.ts'
import type { DocStream, Environment } from './aggregate-environment.ts'
import { AGGREGATE_FIELDS } from './aggregate-fields.ts'
import { countOnly, splitPipeline } from './aggregate-plan.ts'
import { decoded, encoded, environmentOf, source } from './aggregate-source.ts'
import { compileStages } from './aggregate-stages.ts'
import { sessionOf } from './find.ts'

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
  const found = target ? await countSelected(reader, target, stopAt, timeLimit(body)) : 0
  const n = Math.max(0, found - skip)
  return encoded(one(n > 0 ? { _id: id, [field]: n } : undefined))
}

function* one(doc: Doc | undefined): DocStream {
  if (doc) yield doc
}

/** A pipeline that brings its documents with it: `$documents`. */
const onNothing = (reader: Reader, command: Command, environment: Environment): Promise<Buffer> => {
  const { body, db } = command
  return firstBatch(reader, encoded(environment.run(undefined, body['pipeline'])), {
    namespace: `${db}.$cmd.aggregate`,
    batchSize: isPlainObject(body['cursor']) ? naturalNumber(body['cursor'], 'batchSize') : undefined,
    single: false,
    session: sessionOf(command),
    deadline: deadlineOf(timeLimit(body)),
  })
}

export const aggregate = async (reader: Reader, command: Command): Promise<Buffer> => {
  const { body, db } = command
  checkFields(command, AGGREGATE_FIELDS)
  refuse(body, ['let', 'explain'])
  const name = body['aggregate']
  const environment = environmentOf(reader.catalog, db)
  if (typeof name !== 'string') return onNothing(reader, command, environment)
  checkRequired('aggregate', body, ['pipeline'])
  if (body['cursor'] !== undefined && !isPlainObject(body['cursor']))
    throw typeMismatch('cursor field must be missing or an object')
  if (!body['cursor'])
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
  const stages = compileStages(rest, environment)
  const options: FirstBatch = {
    namespace: `${db}.${name}`,
    batchSize: naturalNumber(body['cursor'], 'batchSize'),
    single: false,
    session: sessionOf(command),
    deadline: deadlineOf(timeLimit(body)),
  }
  const count = countOnly(rest)
  if (count) return firstBatch(reader, await counted(reader, command, selection, query, count), options)
  const documents = source(environment, name, selection, query)
  return firstBatch(reader, rest.length === 0 ? documents : encoded(stages(decoded(documents))), options)
}
