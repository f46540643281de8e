import { ObjectId } from 'bson'
import { decode, type Doc, encode, MAX_DOCUMENT_BYTES } from '../values/bson.ts'
import { type Catalog, getOrCreateCollection } from '../storage/catalog.ts'
import { insertDocument } from '../storage/collection.ts'
import { byteList, checkFields, collectionName, type Command } from '../wire/command.ts'
import { strictFlag } from '../wire/fields.ts'
import { checkId } from '../update/document-id.ts'
import { CommandError } from '../errors.ts'
import { checkBatchSize, runStatements, withErrors } from './write-errors.ts'

/** The document with its `_id` in front, and its bytes; the bytes that came are kept where they are right. */
const prepared = (bytes: Buffer): { doc: Doc; bytes: Buffer } => {
  if (bytes.length > MAX_DOCUMENT_BYTES)
    throw new CommandError(
      10334,
      `object to insert too large. size in bytes: ${bytes.length}, max size: ${MAX_DOCUMENT_BYTES}`,
    )
  const doc = decode(bytes)
  if (Object.keys(doc)[0] === '_id') {
    checkId(doc['_id'])
    return { doc, bytes }
  }
  const withId = { _id: new ObjectId() as unknown, ...doc }
  // a document that has its _id further back keeps the place in front, where the spread has put the key
  if (Object.hasOwn(doc, '_id')) withId._id = doc['_id']
  checkId(withId._id)
  return { doc: withId, bytes: encode(withId, 10334) }
}

export const insert = (catalog: Catalog, command: Command): Doc => {
  checkFields(command, ['documents', 'ordered', 'bypassDocumentValidation'])
  const name = collectionName(command)
  const documents = byteList(command, 'documents')
  checkBatchSize(documents)
  const ordered = strictFlag(command.body, 'ordered', true)
  const collection = getOrCreateCollection(catalog, command.db, name)
  let n = 0
  const errors = runStatements(documents, ordered, (raw) => {
    const { doc, bytes } = prepared(raw)
    insertDocument(catalog, collection, doc, bytes)
    n++
  })
  return { n, ...withErrors(errors), ok: 1 }
}
