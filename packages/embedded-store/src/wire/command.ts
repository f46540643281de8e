import { decode, type Doc, encode, isPlainObject, typeName } from '../values/bson.ts'
import { checkCollectionName } from '../storage/catalog.ts'
import { badValue, CommandError, missingField, notImplemented } from '../errors.ts'
import type { Message } from './messages.ts'

/** A command as its handler gets it. `sequences` are the documents that came beside the body, as bytes. */
export type Command = { name: string; db: string; body: Doc; sequences: Map<string, Buffer[]> }

/** Fields that every command may have. */
const COMMON = new Set([
  'lsid',
  '$db',
  '$readPreference',
  '$clusterTime',
  'comment',
  'maxTimeMS',
  'writeConcern',
  'readConcern',
  'apiVersion',
  'apiStrict',
  'apiDeprecationErrors',
])
const TRANSACTION = new Set(['txnNumber', 'startTransaction', 'autocommit'])
const READ_CONCERNS = new Set([undefined, 'local', 'available', 'majority'])

/** A command from its message. */
export const parseCommand = (message: Message, name: string): Command => {
  const body = decode(message.body)
  const db = message.legacyDb ?? body['$db']
  if (typeof db !== 'string') throw missingField('OP_MSG.$db')
  const sequences = new Map<string, Buffer[]>()
  for (const { name: field, documents } of message.sequences) {
    if (Object.hasOwn(body, field) || sequences.has(field)) throw badValue(`The field '${field}' is given twice`)
    sequences.set(field, documents)
  }
  return { name, db, body, sequences }
}

const checkConcerns = ({ body }: Command): void => {
  const concern = body['readConcern']
  const level = isPlainObject(concern) ? concern['level'] : undefined
  if (!READ_CONCERNS.has(level as string | undefined)) throw notImplemented(`readConcern '${String(level)}'`)
  if (isPlainObject(concern) && concern['afterClusterTime'] !== undefined)
    throw new CommandError(72, 'afterClusterTime needs a replica set')
  const w = isPlainObject(body['writeConcern']) ? body['writeConcern']['w'] : undefined
  if (typeof w === 'number' && w > 1) throw badValue("cannot use 'w' > 1 when a host is not replicated")
  if (typeof w === 'string' && w !== 'majority')
    throw badValue(`cannot use non-majority 'w' mode "${w}" when a host is not a member of a replica set`)
  if (body['apiStrict'] === true) throw notImplemented('apiStrict')
  if (body['apiVersion'] !== undefined && body['apiVersion'] !== '1') throw badValue('API version must be "1"')
}

/** Refuses transactions, and fields that the command does not know: nothing is ignored in silence. */
export const checkFields = (command: Command, known: readonly string[]): void => {
  for (const key of [...Object.keys(command.body), ...command.sequences.keys()]) {
    if (TRANSACTION.has(key))
      throw new CommandError(20, 'Transaction numbers are only allowed on a replica set member or mongos')
    if (key !== command.name && !COMMON.has(key) && !known.includes(key))
      throw new CommandError(40415, `BSON field '${command.name}.${key}' is an unknown field.`)
  }
  checkConcerns(command)
}

/** Refuses fields of a part of a command that it does not know. */
export const checkPart = (where: string, part: Doc, known: readonly string[]): void => {
  for (const key of Object.keys(part))
    if (!known.includes(key)) throw new CommandError(40415, `BSON field '${where}.${key}' is an unknown field.`)
}

/** The collection that the command's first field names. */
export const collectionName = ({ name, body }: Command): string => {
  const value = body[name]
  if (typeof value !== 'string') throw new CommandError(73, `collection name has invalid type ${typeName(value)}`)
  checkCollectionName(value)
  return value
}

/** A part of the command that is a list of documents, in the body or beside it. */
export const documentList = ({ name, body, sequences }: Command, field: string): Doc[] => {
  const beside = sequences.get(field)
  if (beside) return beside.map(decode)
  const list = body[field]
  if (list === undefined) throw missingField(`${name}.${field}`)
  if (!Array.isArray(list) || !list.every(isPlainObject))
    throw new CommandError(14, `${field} must be an array of objects`)
  return list
}

/** The same as bytes, for documents that are stored as they come. */
export const byteList = (command: Command, field: string): Buffer[] =>
  command.sequences.get(field) ?? documentList(command, field).map((doc) => encode(doc, 10334))

/** Refuses a collation other than the simple one, which is how the store compares. */
export const checkCollation = (collation: unknown): void => {
  if (collation === undefined || collation === null) return
  if (isPlainObject(collation) && (Object.keys(collation).length === 0 || collation['locale'] === 'simple')) return
  throw notImplemented('A collation')
}

/** Refuses options that are set and that the store does not have. */
export const refuse = (body: Doc, fields: readonly string[]): void => {
  for (const field of fields) {
    const value = body[field]
    const isEmpty = isPlainObject(value) && Object.keys(value).length === 0
    if (value !== undefined && value !== null && value !== false && !isEmpty)
      throw notImplemented(`The option '${field}'`)
  }
}
