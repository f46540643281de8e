import { Long, ObjectId } from 'bson'
import { decode, type Doc, encode, isPlainObject } from '../values/bson.ts'
import { type Catalog, type Collection, getOrCreateCollection, type Index } from '../storage/catalog.ts'
import { deleteRow, findRows, updateRow } from '../update/change.ts'
import { insertDocument } from '../storage/collection.ts'
import { checkFields, type Command, refuse } from '../wire/command.ts'
import { badValue, CommandError, failedToParse } from '../errors.ts'
import { parseSelection } from '../query/selection.ts'
import { parseUpdate } from '../update/update.ts'
import { bind, variablesOf } from '../expressions/variables.ts'
import { AGGREGATE_FIELDS } from './aggregate-fields.ts'
import type { DocStream } from './aggregate-environment.ts'
import { parseStages } from './aggregate-plan.ts'
import { environmentOf } from './aggregate-source.ts'

type Target = { db: string; name: string }

const targetOf = (into: unknown, db: string): Target => {
  if (typeof into === 'string') return { db, name: into }
  if (isPlainObject(into) && typeof into['coll'] === 'string')
    return { db: typeof into['db'] === 'string' ? into['db'] : db, name: into['coll'] }
  throw failedToParse('the collection to write into must be a string or an object with db and coll')
}

/** All of the results before the first is written: they may come from the collection that is written into. */
const resultsOf = (stream: DocStream): Doc[] => {
  const docs: Doc[] = []
  for (const doc of stream) if (doc) docs.push(Object.hasOwn(doc, '_id') ? doc : { _id: new ObjectId(), ...doc })
  return docs
}

const insert = (catalog: Catalog, collection: Collection, doc: Doc): void => {
  // as a client's documents, so that what is computed is stored as it would come back
  const bytes = encode(doc, 10334)
  insertDocument(catalog, collection, decode(bytes), bytes)
}

const everything = parseSelection({ filter: {}, limited: false })

/** `$out`: the results in the place of what the collection held; its indexes stay. */
const out = (catalog: Catalog, { db, name }: Target, docs: Doc[]): void => {
  const collection = getOrCreateCollection(catalog, db, name)
  for (const rid of findRows(catalog, collection, everything, 0)) deleteRow(catalog, collection, rid)
  for (const doc of docs) insert(catalog, collection, doc)
}

const isOn = (index: Index, fields: readonly string[]): boolean =>
  index.unique && !index.partial && index.paths.toSorted().join('\n') === [...fields].toSorted().join('\n')

const fieldsOf = (on: unknown): string[] => {
  const fields = on === undefined ? ['_id'] : Array.isArray(on) ? (on as unknown[]) : [on]
  if (fields.length === 0 || !fields.every((field) => typeof field === 'string'))
    throw failedToParse("$merge 'on' must be a field or an array of fields")
  return fields
}

const updateOf = (how: unknown, spec: Doc, doc: Doc): unknown => {
  if (Array.isArray(how)) {
    const variables = spec['let'] === undefined ? { new: doc } : variablesOf(spec['let'])(doc)
    return bind(how, { new: doc, ...variables })
  }
  const { _id, ...fields } = doc
  if (how === 'replace') return fields
  return { $set: Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) }
}

const HOW_MATCHED = ['replace', 'keepExisting', 'merge', 'fail']
const HOW_NOT_MATCHED = ['insert', 'discard', 'fail']

const checkModes = (matched: unknown, notMatched: unknown): void => {
  if (!Array.isArray(matched) && !HOW_MATCHED.includes(String(matched)))
    throw badValue(`Enumeration value '${String(matched)}' for field 'whenMatched' is not a valid value.`)
  if (!HOW_NOT_MATCHED.includes(String(notMatched)))
    throw badValue(`Enumeration value '${String(notMatched)}' for field '$merge.whenNotMatched' is not a valid value.`)
  if ((matched === 'keepExisting' || matched === 'fail') && notMatched !== 'insert')
    throw new CommandError(
      51181,
      `Combination of $merge modes 'whenMatched: ${matched}' and 'whenNotMatched: ${String(notMatched)}' is not supported`,
    )
}

/** `$merge`: each result goes into the document that has the same values of the fields `on`, or beside all. */
const merge = (catalog: Catalog, { db, name }: Target, spec: Doc, docs: Doc[]): void => {
  const { whenMatched = 'merge', whenNotMatched = 'insert' } = spec
  checkModes(whenMatched, whenNotMatched)
  const fields = fieldsOf(spec['on'])
  const collection = getOrCreateCollection(catalog, db, name)
  if (!collection.indexes.some((index) => isOn(index, fields)))
    throw new CommandError(51183, 'Cannot find index to verify that join fields will be unique')
  for (const doc of docs) {
    const filter = Object.fromEntries(fields.map((field) => [field, { $eq: doc[field] ?? null }]))
    const selection = parseSelection({ filter, limited: true })
    const [rid] = findRows(catalog, collection, selection, 1)
    if (rid === undefined) {
      if (whenNotMatched === 'fail')
        throw new CommandError(13113, '$merge could not find a matching document in the target collection')
      if (whenNotMatched === 'insert') insert(catalog, collection, doc)
    } else if (whenMatched === 'fail') insert(catalog, collection, doc)
    else if (whenMatched !== 'keepExisting')
      updateRow(catalog, collection, rid, selection.filter, parseUpdate(updateOf(whenMatched, spec, doc), undefined))
  }
}

/** Whether a pipeline ends with a stage that writes; such a one is the writer's. */
export const isWriting = ({ body }: Command): boolean => {
  const last: unknown = Array.isArray(body['pipeline']) ? body['pipeline'].at(-1) : undefined
  return isPlainObject(last) && (Object.hasOwn(last, '$out') || Object.hasOwn(last, '$merge'))
}

const MERGE_FIELDS = ['into', 'on', 'let', 'whenMatched', 'whenNotMatched']

/** An aggregation whose results are written, by one command as a whole. */
export const aggregateInto = (catalog: Catalog, command: Command): Doc => {
  const { body, db } = command
  checkFields(command, AGGREGATE_FIELDS)
  refuse(body, ['let', 'explain', 'collation', 'hint'])
  const from = body['aggregate']
  const stages = parseStages(body['pipeline'])
  const [name, argument] = stages.pop() as [string, unknown]
  const pipeline = stages.map(([stage, its]) => ({ [stage]: its }))
  const docs = resultsOf(environmentOf(catalog, db).run(typeof from === 'string' ? from : undefined, pipeline))
  if (name === '$out') out(catalog, targetOf(argument, db), docs)
  else {
    const spec = isPlainObject(argument) ? argument : { into: argument }
    for (const key of Object.keys(spec))
      if (!MERGE_FIELDS.includes(key)) throw new CommandError(40415, `BSON field '$merge.${key}' is an unknown field.`)
    merge(catalog, targetOf(spec['into'], db), spec, docs)
  }
  return { cursor: { firstBatch: [], id: Long.ZERO, ns: `${db}.${String(from)}` }, ok: 1 }
}
