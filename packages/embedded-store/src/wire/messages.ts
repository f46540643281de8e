import { CommandError } from '../errors.ts'

/** The MongoDB wire protocol: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/ */
export const MAX_MESSAGE_BYTES = 48_000_000
/** Before a client has given its password it has nothing long to say. */
export const MAX_STRANGER_BYTES = 64 * 1024

const HEADER_BYTES = 16
const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013
const CHECKSUM_PRESENT = 1
const MORE_TO_COME = 2
/** Bits 0 to 15 must be understood by the receiver. */
const REQUIRED_BITS = 0xffff
const MIN_DOCUMENT_BYTES = 5

export type Message = {
  requestId: number
  /** Answered with OP_REPLY; only `hello` comes this way. */
  legacy: boolean
  /** The database of a legacy message, whose body does not name it. */
  legacyDb: string | undefined
  noReply: boolean
  body: Buffer
  sequences: { name: string; documents: Buffer[] }[]
}

/** Thrown for a malformed message: the connection is closed, nothing else happens. */
class ProtocolError extends Error {}

/** The length of the message that a buffer begins with, undefined when too little has come to say. */
export const messageLength = (buffer: Buffer, limit: number): number | undefined => {
  if (buffer.length < 4) return undefined
  const length = buffer.readInt32LE(0)
  if (length < HEADER_BYTES || length > limit) throw new ProtocolError(`message of ${length} bytes`)
  return length
}

const documentAt = (bytes: Buffer, offset: number, end: number): Buffer => {
  if (offset + MIN_DOCUMENT_BYTES > end) throw new ProtocolError('truncated document')
  const size = bytes.readInt32LE(offset)
  if (size < MIN_DOCUMENT_BYTES || offset + size > end || bytes[offset + size - 1] !== 0)
    throw new ProtocolError('document with a wrong length')
  return bytes.subarray(offset, offset + size)
}

const textAt = (bytes: Buffer, offset: number, end: number): string => {
  const stop = bytes.indexOf(0, offset)
  if (stop < 0 || stop >= end) throw new ProtocolError('text without an end')
  return bytes.toString('utf8', offset, stop)
}

const parseSequence = (bytes: Buffer, start: number, message: Message): number => {
  if (start + 4 > bytes.length) throw new ProtocolError('truncated section')
  const end = start + bytes.readInt32LE(start)
  if (end < start + 5 || end > bytes.length) throw new ProtocolError('section with a wrong length')
  const name = textAt(bytes, start + 4, end)
  const documents: Buffer[] = []
  let at = start + 4 + Buffer.byteLength(name) + 1
  while (at < end) {
    const document = documentAt(bytes, at, end)
    documents.push(document)
    at += document.length
  }
  message.sequences.push({ name, documents })
  return end
}

const parseMsg = (bytes: Buffer): Message => {
  if (bytes.length < HEADER_BYTES + 4) throw new ProtocolError('truncated message')
  const flags = bytes.readUInt32LE(HEADER_BYTES)
  if (flags & REQUIRED_BITS & ~(CHECKSUM_PRESENT | MORE_TO_COME)) throw new ProtocolError('unknown flag')
  const content = flags & CHECKSUM_PRESENT ? bytes.subarray(0, bytes.length - 4) : bytes
  const message: Message = {
    requestId: bytes.readInt32LE(4),
    legacy: false,
    legacyDb: undefined,
    noReply: (flags & MORE_TO_COME) !== 0,
    body: Buffer.alloc(0),
    sequences: [],
  }
  let at = HEADER_BYTES + 4
  while (at < content.length) {
    const kind = content[at++]
    if (kind === 1) at = parseSequence(content, at, message)
    else if (kind === 0 && message.body.length === 0) {
      message.body = documentAt(content, at, content.length)
      at += message.body.length
    } else throw new ProtocolError('unknown or repeated section')
  }
  if (message.body.length === 0) throw new ProtocolError('message without a body')
  return message
}

const parseQuery = (bytes: Buffer): Message => {
  if (bytes.length < HEADER_BYTES + 4) throw new ProtocolError('truncated query')
  const namespace = textAt(bytes, HEADER_BYTES + 4, bytes.length)
  const at = HEADER_BYTES + 4 + Buffer.byteLength(namespace) + 1 + 8
  if (!namespace.endsWith('.$cmd')) throw new ProtocolError('OP_QUERY is for the handshake only')
  const body = documentAt(bytes, at, bytes.length)
  const legacyDb = namespace.slice(0, -'.$cmd'.length)
  return { requestId: bytes.readInt32LE(4), legacy: true, legacyDb, noReply: false, body, sequences: [] }
}

/** Parses one whole message; throws ProtocolError. */
export const parseMessage = (bytes: Buffer): Message => {
  const opCode = bytes.readInt32LE(12)
  if (opCode === OP_MSG) return parseMsg(bytes)
  if (opCode === OP_QUERY) return parseQuery(bytes)
  throw new ProtocolError(`operation ${opCode}`)
}

/** The name of a command is the name of its first field. */
export const commandName = ({ body }: Message): string => {
  const end = body.indexOf(0, 5)
  if (body.length <= MIN_DOCUMENT_BYTES || end < 0) throw new CommandError(59, "no such command: ''")
  return body.toString('utf8', 5, end)
}

let nextId = 1

/** The message that answers a request: header, flags and the answer's bytes. */
export const encodeReply = ({ requestId, legacy }: Message, answer: Uint8Array): Uint8Array[] => {
  const fixed = legacy ? 20 : 5
  const header = Buffer.alloc(HEADER_BYTES + fixed)
  header.writeInt32LE(header.length + answer.length, 0)
  nextId = (nextId + 1) & 0x7fffffff
  header.writeInt32LE(nextId, 4)
  header.writeInt32LE(requestId, 8)
  header.writeInt32LE(legacy ? OP_REPLY : OP_MSG, 12)
  // OP_REPLY: flags, cursor (8 bytes), first document, number of documents
  if (legacy) header.writeInt32LE(1, HEADER_BYTES + 16)
  return [header, answer]
}
