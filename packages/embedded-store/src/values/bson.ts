import { type Code, type DBRef, Decimal128, deserialize, Double, Long, serialize } from 'bson'
import { CommandError } from '../errors.ts'

/** A document as the store holds it in memory; see `decode` for its values. */
export type Doc = { [key: string]: unknown }

export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
/** An update may grow a document by MongoDB's slack for internal use before it is refused. */
const MAX_INTERNAL_BYTES = MAX_DOCUMENT_BYTES + 16 * 1024
const INT32_MAX = 0x7fffffff
const INT32_MIN = -0x80000000

const OPTIONS = { promoteValues: false, promoteBuffers: false, bsonRegExp: true, promoteLongs: false } as const

/** Checks that `bson` writes a number as an int32: https://github.com/mongodb/js-bson (serializeNumber). */
export const isInt32 = (value: number): boolean =>
  Number.isInteger(value) && value >= INT32_MIN && value <= INT32_MAX && !Object.is(value, -0)

export const isPlainObject = (value: unknown): value is Doc =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Date) &&
  !('_bsontype' in value && typeof value._bsontype === 'string')

/** The BSON class of a value (`ObjectId`, `Long`, …), or undefined for a plain JavaScript value. */
export const bsonType = (value: unknown): string | undefined =>
  typeof value === 'object' && value !== null && '_bsontype' in value ? String(value._bsontype) : undefined

const plainDbRef = (ref: DBRef): Doc => ({
  $ref: ref.collection,
  $id: plain(ref.oid),
  ...(ref.db ? { $db: ref.db } : {}),
  ...(plain(ref.fields) as Doc),
})

const plainWrapped = (value: object, type: string): unknown => {
  if (type === 'Int32') return Number(value)
  if (type === 'Double') {
    const number = Number(value)
    return isInt32(number) ? value : number
  }
  return type === 'DBRef' ? plainDbRef(value as DBRef) : value
}

/** Numbers become JavaScript's where `bson` writes them back with the same type; the rest stays wrapped. */
const plain = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = plain(value[i])
    return value
  }
  const type = bsonType(value)
  if (type !== undefined) return plainWrapped(value, type)
  const doc = value as Doc
  for (const key of Object.keys(doc)) {
    const before = doc[key]
    if (typeof before === 'object' && before !== null) doc[key] = plain(before)
  }
  return doc
}

/**
 * A document from its bytes. An int32 and a double that is no int32 are JavaScript numbers; `Double` (whole values),
 * `Long` and `Decimal128` stay wrapped, so that `encode` gives back the same types. Regular expressions are
 * `BSONRegExp`, binary data `Binary`.
 */
export const decode = (bytes: Uint8Array): Doc => plain(deserialize(bytes, OPTIONS)) as Doc

/** The bytes of a document; throws 17419 (or `tooLarge`) when it is larger than a document may be. */
export const encode = (doc: Doc, tooLarge: 10334 | 17419 = 17419): Buffer => {
  let bytes: Uint8Array | undefined
  try {
    bytes = serialize(doc, { ignoreUndefined: false })
  } catch (error) {
    // bson's own buffer is 17 MiB: writing past it is a RangeError
    if (!(error instanceof RangeError) || /call stack/i.test(error.message)) throw error
  }
  if (bytes === undefined || bytes.length > MAX_INTERNAL_BYTES)
    throw new CommandError(
      tooLarge,
      tooLarge === 10334
        ? `BSONObj size is invalid: it must be at most ${MAX_DOCUMENT_BYTES} bytes (16MB)`
        : `Resulting document after update is larger than ${MAX_DOCUMENT_BYTES}`,
    )
  return asBuffer(bytes)
}

/** The same bytes as a Buffer, without copying. */
export const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A deep copy whose objects and arrays may be changed. BSON values never change, so they are shared. */
export const clone = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(clone)
  if (value instanceof Date) return new Date(value)
  if (!isPlainObject(value)) return value
  const copy: Doc = {}
  for (const key of Object.keys(value)) setField(copy, key, clone(value[key]))
  return copy
}

/** Sets an own field, also one that is called `__proto__`. */
export const setField = (doc: Doc, key: string, value: unknown): void => {
  if (key === '__proto__')
    Object.defineProperty(doc, key, { value, enumerable: true, writable: true, configurable: true })
  else doc[key] = value
}

/** The JavaScript number of any BSON number, or undefined for anything else; a large Long loses its last digits. */
export const toNumber = (value: unknown): number | undefined => {
  if (typeof value === 'number') return value
  if (value instanceof Double) return value.value
  if (value instanceof Long && bsonType(value) === 'Long') return value.toNumber()
  if (value instanceof Decimal128) return Number(value.toString())
  return undefined
}

/** MongoDB's name of a value's type, as `$type` and error messages say it. */
export const typeName = (value: unknown): string => {
  if (value === null) return 'null'
  if (value === undefined) return 'undefined'
  if (Array.isArray(value)) return 'array'
  if (value instanceof Date) return 'date'
  if (typeof value === 'number') return isInt32(value) ? 'int' : 'double'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'string'
  const type = bsonType(value)
  return type === undefined ? 'object' : wrappedName(value, type)
}

const WRAPPED_NAMES: Record<string, string> = {
  Double: 'double',
  Long: 'long',
  Int32: 'int',
  Decimal128: 'decimal',
  ObjectId: 'objectId',
  Binary: 'binData',
  BSONRegExp: 'regex',
  BSONSymbol: 'symbol',
  Timestamp: 'timestamp',
  MinKey: 'minKey',
  MaxKey: 'maxKey',
}

const wrappedName = (value: unknown, type: string): string =>
  type === 'Code' ? ((value as Code).scope ? 'javascriptWithScope' : 'javascript') : (WRAPPED_NAMES[type] ?? 'object')
