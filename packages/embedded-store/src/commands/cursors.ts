import { Long } from 'bson'
import { type Doc, isPlainObject, typeName } from '../values/bson.ts'
import { checkFields, type Command } from '../wire/command.ts'
import { checkRequired, naturalNumber, timeLimit } from '../wire/fields.ts'
import { CommandError, wrongType } from '../errors.ts'
import { deadlineOf, nextBatch, type Reader } from '../query/reader.ts'

const cursorId = (value: unknown): bigint => {
  if (value instanceof Long) return value.toBigInt()
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value)
  throw new CommandError(14, 'A cursor id must be of type long')
}

export const getMore = async (reader: Reader, command: Command): Promise<Buffer> => {
  checkFields(command, ['collection', 'batchSize', 'term', 'lastKnownCommittedOpTime'])
  const { body, db } = command
  checkRequired('getMore', body, ['collection'])
  if (typeof body['collection'] !== 'string')
    throw wrongType('getMore.collection', typeName(body['collection']), "type 'string'")
  const cursor = reader.cursors.take(cursorId(body['getMore']), `${db}.${body['collection']}`)
  return nextBatch(reader, cursor, naturalNumber(body, 'batchSize'), deadlineOf(timeLimit(body)))
}

export const killCursors = (reader: Reader, command: Command): Doc => {
  checkFields(command, ['cursors'])
  checkRequired('killCursors', command.body, ['cursors'])
  const wanted = command.body['cursors']
  if (!Array.isArray(wanted)) throw wrongType('killCursors.cursors', typeName(wanted), "type 'array'")
  const cursorsKilled: Long[] = []
  const cursorsNotFound: Long[] = []
  for (const value of wanted as unknown[]) {
    const id = cursorId(value)
    ;(reader.cursors.kill(id) ? cursorsKilled : cursorsNotFound).push(Long.fromBigInt(id))
  }
  return { cursorsKilled, cursorsNotFound, cursorsAlive: [], cursorsUnknown: [], ok: 1 }
}

/** A session is only a name for its cursors here: there are no transactions. */
export const endSessions = (reader: Reader, command: Command): Doc => {
  checkFields(command, [])
  const sessions = command.body['endSessions']
  if (!Array.isArray(sessions)) throw wrongType('endSessions', typeName(sessions), "type 'array'")
  for (const session of sessions as unknown[])
    if (isPlainObject(session)) reader.cursors.killSession(String(session['id']))
  return { ok: 1 }
}
