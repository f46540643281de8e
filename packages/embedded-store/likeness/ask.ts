import { EJSON } from 'bson'
import { type Db, type Document, MongoServerError } from 'mongodb'
import { COLLECTION, type Question } from './questions.ts'

/** Numbers as the server says them: 1 is not 1.0. */
export const ASKED = { promoteValues: false, promoteLongs: false, bsonRegExp: true, ignoreUndefined: true }

type WriteError = { code: unknown; index: unknown; keyPattern?: unknown; keyValue?: unknown }

const comparableError = ({ code, index, keyPattern, keyValue }: WriteError) => ({ code, index, keyPattern, keyValue })

/** Documents of groups, which have no order, are put into one. */
function inOrder(documents: Document[]): Document[] {
  if (!documents.every((one) => 'one' in one && 'two' in one)) return documents
  return documents.toSorted((one, two) => (EJSON.stringify(one) < EJSON.stringify(two) ? -1 : 1))
}

/** An answer without what is of its server alone, and in one order. */
function comparable({ ok, operationTime, $clusterTime, cursor, writeErrors, ...rest }: Document): Document {
  const found = {
    ...rest,
    ...(cursor ? { documents: inOrder(cursor.firstBatch), more: Number(cursor.id) !== 0 } : {}),
    ...(writeErrors ? { writeErrors: (writeErrors as WriteError[]).map(comparableError) } : {}),
  }
  return Object.fromEntries(Object.entries(found).toSorted(([one], [two]) => (one < two ? -1 : 1)))
}

async function ask(db: Db, command: Document): Promise<Document> {
  try {
    return comparable(await db.command(command, ASKED))
  } catch (error) {
    if (error instanceof MongoServerError) return { code: error.code, codeName: error.codeName }
    throw error
  }
}

const fill = async (db: Db, { documents }: Question): Promise<void> => {
  if (documents.length > 0) await db.command({ insert: COLLECTION, documents }, ASKED)
}

const refill = async (db: Db, question: Question): Promise<void> => {
  await ask(db, { dropIndexes: COLLECTION, index: '*' })
  await db.command({ delete: COLLECTION, deletes: [{ q: {}, limit: 0 }] })
  await fill(db, question)
}

/**
 * Asks the commands of a question, of which each has a collection as it is at the start.
 * @returns one text for each command: the answer, and what is in the collection then if it writes
 */
export async function answers(db: Db, question: Question): Promise<string[]> {
  const { commands, indexes, writes } = question
  await db.command({ drop: COLLECTION }).catch(() => undefined)
  await db.command({ create: COLLECTION })
  await fill(db, question)
  // Some cannot be made for these documents, here and there alike.
  for (const [place, index] of indexes.entries())
    await ask(db, { createIndexes: COLLECTION, indexes: [{ name: `i${place}`, ...index }] })
  const all: string[] = []
  for (const command of commands) {
    const answer = await ask(db, command)
    const after = writes ? { after: await ask(db, { find: COLLECTION, sort: { _id: 1 } }) } : {}
    all.push(EJSON.stringify({ ...answer, ...after }, { relaxed: false }))
    if (writes) await refill(db, question)
  }
  return all
}
