import type { Binary, BSONRegExp, Code, Decimal128, Long, ObjectId, Timestamp } from 'bson'
import { bsonType, type Doc } from './bson.ts'
import { partsOfDecimal, partsOfLong, writeNumberParts } from './key-number.ts'

/**
 * Values as bytes whose memcmp order is MongoDB's comparison order
 * (https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/). No encoding is a prefix of another, so
 * encodings can be put one behind the other (compound keys, objects, arrays) and inverted (descending fields).
 */
export const KeyType = {
  minKey: 0x05,
  undefined: 0x08,
  null: 0x0a,
  number: 0x14,
  string: 0x1e,
  object: 0x28,
  array: 0x2d,
  binary: 0x32,
  objectId: 0x37,
  boolean: 0x3c,
  date: 0x41,
  timestamp: 0x46,
  regex: 0x4b,
  code: 0x50,
  maxKey: 0x7f,
} as const

const WRAPPED_TYPES: Record<string, number> = {
  Int32: KeyType.number,
  Double: KeyType.number,
  Long: KeyType.number,
  Decimal128: KeyType.number,
  BSONSymbol: KeyType.string,
  Binary: KeyType.binary,
  ObjectId: KeyType.objectId,
  Timestamp: KeyType.timestamp,
  BSONRegExp: KeyType.regex,
  Code: KeyType.code,
  MinKey: KeyType.minKey,
  MaxKey: KeyType.maxKey,
}

/** Rank of a value's type in the order; the first byte of its key. */
export const keyType = (value: unknown): number => {
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return KeyType.number
    case 'string':
      return KeyType.string
    case 'boolean':
      return KeyType.boolean
    case 'undefined':
      return KeyType.undefined
  }
  if (value === null) return KeyType.null
  if (value instanceof Date) return KeyType.date
  if (Array.isArray(value)) return KeyType.array
  const type = bsonType(value)
  return type === undefined ? KeyType.object : (WRAPPED_TYPES[type] ?? KeyType.object)
}

let target = Buffer.allocUnsafe(4096)
let at = 0

const ensure = (bytes: number): void => {
  if (at + bytes <= target.length) return
  const larger = Buffer.allocUnsafe(Math.max(target.length * 2, at + bytes))
  target.copy(larger, 0, 0, at)
  target = larger
}

const writeByte = (byte: number): void => {
  ensure(1)
  target[at++] = byte
}

/** Zero bytes are escaped as 00 FF and the end is 00 00, so that a shorter text comes first. */
const writeText = (text: string): void => {
  ensure(text.length * 3 + 2)
  if (!text.includes('\0')) at += target.write(text, at, 'utf8')
  else
    for (const byte of Buffer.from(text, 'utf8')) {
      ensure(4)
      target[at++] = byte
      if (byte === 0) target[at++] = 0xff
    }
  ensure(2)
  target[at++] = 0
  target[at++] = 0
}

const writeInt64 = (value: bigint, signed: boolean): void => {
  ensure(8)
  target.writeBigUInt64BE(BigInt.asUintN(64, signed ? value ^ (1n << 63n) : value), at)
  at += 8
}

const writeNumber = (value: unknown): void => {
  ensure(17)
  const type = bsonType(value)
  if (type === 'Long') at = writeNumberParts(target, at, partsOfLong(value as Long))
  else if (type === 'Decimal128') at = writeNumberParts(target, at, partsOfDecimal(value as Decimal128))
  else at = writeNumberParts(target, at, { double: Number(value), fraction: 0n })
}

const writeBytes = (bytes: Uint8Array): void => {
  ensure(bytes.length)
  target.set(bytes, at)
  at += bytes.length
}

const writeBinary = (value: Binary): void => {
  ensure(5)
  target.writeUInt32BE(value.position, at)
  at += 4
  target[at++] = value.sub_type
  writeBytes(value.buffer.subarray(0, value.position))
}

/** MongoDB compares objects field by field: the type of the value, the name, the value. */
const writeObject = (doc: Doc): void => {
  for (const key of Object.keys(doc)) {
    writeByte(keyType(doc[key]))
    writeText(key)
    writeValue(doc[key])
  }
  writeByte(0)
}

const WRITERS: Record<number, (value: never) => void> = {
  [KeyType.number]: writeNumber,
  [KeyType.string]: (value: unknown) => writeText(String(value)),
  [KeyType.object]: writeObject,
  [KeyType.array]: (values: unknown[]) => {
    for (const value of values) writeValue(value)
    writeByte(0)
  },
  [KeyType.binary]: writeBinary,
  [KeyType.objectId]: (value: ObjectId) => writeBytes(value.id),
  [KeyType.boolean]: (value: boolean) => writeByte(value ? 1 : 0),
  [KeyType.date]: (value: Date) => writeInt64(BigInt(value.getTime() || 0), true),
  [KeyType.timestamp]: (value: Timestamp) => writeInt64(value.toBigInt(), false),
  [KeyType.regex]: (value: BSONRegExp) => {
    writeText(value.pattern)
    writeText(value.options)
  },
  [KeyType.code]: (value: Code) => {
    writeText(String(value.code))
    writeObject((value.scope as Doc | null) ?? {})
  },
}

const writeValue = (value: unknown): void => {
  const type = keyType(value)
  writeByte(type)
  WRITERS[type]?.(value as never)
}

/** The bytes of one value. */
export const encodeValue = (value: unknown): Buffer => {
  at = 0
  writeValue(value)
  return Buffer.from(target.subarray(0, at))
}

/** The bytes of a compound key; a direction of -1 inverts its part. */
export const encodeKey = (values: readonly unknown[], directions: readonly (1 | -1)[]): Buffer => {
  at = 0
  for (let i = 0; i < values.length; i++) {
    const start = at
    writeValue(values[i])
    if (directions[i] === -1) for (let j = start; j < at; j++) target[j] = ~(target[j] as number)
  }
  return Buffer.from(target.subarray(0, at))
}

/** The same bytes inverted: the part of a descending field. */
export const invert = (key: Buffer): Buffer => {
  const inverted = Buffer.allocUnsafe(key.length)
  for (let i = 0; i < key.length; i++) inverted[i] = ~(key[i] as number)
  return inverted
}

/** The first key that is above all keys that begin with `prefix`; the first byte is a type, so there always is one. */
export const successor = (prefix: Buffer): Buffer => {
  let last = prefix.length - 1
  while (last > 0 && prefix[last] === 0xff) last--
  const next = Buffer.from(prefix.subarray(0, last + 1))
  next[last] = (next[last] as number) + 1
  return next
}
