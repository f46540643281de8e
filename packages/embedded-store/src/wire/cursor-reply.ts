/** BSON elements put together from bytes that exist already: https://bsonspec.org/spec.html */

const DOUBLE = 0x01
const STRING = 0x02
const DOCUMENT = 0x03
const ARRAY = 0x04
const INT64 = 0x12

const header = (type: number, name: string): Buffer => Buffer.from(`${String.fromCharCode(type)}${name}\0`, 'utf8')

const END = Buffer.from([0])

/** A document of elements. */
const documentOf = (elements: Uint8Array[]): Buffer => {
  let size = 5
  for (const element of elements) size += element.length
  const length = Buffer.allocUnsafe(4)
  length.writeInt32LE(size)
  return Buffer.concat([length, ...elements, END], size)
}

const arrayOf = (documents: Uint8Array[]): Buffer => {
  const elements: Uint8Array[] = []
  for (let i = 0; i < documents.length; i++) elements.push(header(DOCUMENT, String(i)), documents[i] as Uint8Array)
  return documentOf(elements)
}

const longBytes = (value: bigint): Buffer => {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigInt64LE(value)
  return bytes
}

const stringBytes = (value: string): Buffer => {
  const text = Buffer.from(`${value}\0`, 'utf8')
  const length = Buffer.allocUnsafe(4)
  length.writeInt32LE(text.length)
  return Buffer.concat([length, text])
}

const OK = ((): Buffer => {
  const one = Buffer.allocUnsafe(8)
  one.writeDoubleLE(1)
  return Buffer.concat([header(DOUBLE, 'ok'), one])
})()

/** The answer of find, getMore and aggregate around documents that are bytes already. */
export const cursorReply = (
  batchName: 'firstBatch' | 'nextBatch',
  documents: Uint8Array[],
  cursorId: bigint,
  namespace: string,
): Buffer =>
  documentOf([
    header(DOCUMENT, 'cursor'),
    documentOf([
      header(ARRAY, batchName),
      arrayOf(documents),
      header(INT64, 'id'),
      longBytes(cursorId),
      header(STRING, 'ns'),
      stringBytes(namespace),
    ]),
    OK,
  ])
