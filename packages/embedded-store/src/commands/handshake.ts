import type { Doc } from '../values/bson.ts'
import { checkFields, type Command } from '../wire/command.ts'
import { MAX_DOCUMENT_BYTES } from '../values/bson.ts'
import { MAX_MESSAGE_BYTES } from '../wire/messages.ts'

/** MongoDB 7.0's, whose commands and semantics the store follows. */
const MAX_WIRE_VERSION = 21
const VERSION = '7.0.0'
/** By which it is told from a MongoDB. */
export const embeddedGitVersion = 'horcrux-embedded-store'

/** The answer of a standalone server; without `topologyVersion` a driver asks again instead of waiting. */
export const hello = (command: Command, connectionId: number): Doc => ({
  helloOk: true,
  ...(command.name === 'hello' ? { isWritablePrimary: true } : { ismaster: true }),
  maxBsonObjectSize: MAX_DOCUMENT_BYTES,
  maxMessageSizeBytes: MAX_MESSAGE_BYTES,
  maxWriteBatchSize: 100_000,
  localTime: new Date(),
  logicalSessionTimeoutMinutes: 30,
  connectionId,
  minWireVersion: 0,
  maxWireVersion: MAX_WIRE_VERSION,
  readOnly: false,
  ok: 1,
})

export const buildInfo = (command: Command): Doc => {
  checkFields(command, [])
  return {
    version: VERSION,
    versionArray: [7, 0, 0, 0],
    gitVersion: embeddedGitVersion,
    modules: [],
    storageEngines: ['sqlite'],
    bits: 64,
    debug: false,
    maxBsonObjectSize: MAX_DOCUMENT_BYTES,
    ok: 1,
  }
}
