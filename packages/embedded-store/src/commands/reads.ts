import type { Doc } from '../values/bson.ts'
import { checkFields, type Command } from '../wire/command.ts'
import type { Reader } from '../query/reader.ts'
import { aggregate } from './aggregate/aggregate.ts'
import { count, distinct } from './count.ts'
import { endSessions, getMore, killCursors } from './cursors.ts'
import { explain } from './explain.ts'
import { find } from './find.ts'
import { collStats, dbStats, listCollections, listDatabases, listIndexes } from './listing.ts'

type Answer = Doc | Uint8Array

const accepted = (_: Reader, command: Command): Doc => {
  checkFields(command, [])
  return { ok: 1 }
}

/** The commands that change nothing, run by the server's own thread. */
export const READS: Record<string, (reader: Reader, command: Command) => Answer | Promise<Answer>> = {
  find,
  getMore,
  killCursors,
  aggregate,
  count,
  distinct,
  explain,
  listCollections,
  listIndexes,
  listDatabases,
  collStats,
  dbStats,
  endSessions,
  refreshSessions: accepted,
}
