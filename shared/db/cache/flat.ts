/** The plain fields of a record, as the store has them: texts, numbers, booleans, null, and lists of them. */
export type Flat = { _id: string } & Record<string, unknown>

const isPlain = (value: unknown) => value === null || ['string', 'number', 'boolean'].includes(typeof value)

/** @param others gets the names of fields that are not plain in some record */
export function flatOf({ id, ...fields }: { id: string } & Record<string, unknown>, others: Set<string>): Flat {
  const flat: Flat = { _id: id }
  for (const [name, value] of Object.entries(fields)) {
    if (isPlain(value) || (Array.isArray(value) && value.every(isPlain))) flat[name] = value
    else if (value !== undefined) others.add(name)
  }
  return flat
}

type Test = (record: Flat) => boolean
type Filter = Record<string, unknown>

/** The fields that a filter asks for. */
export const fieldsIn = (filter: Filter): string[] =>
  Object.entries(filter).flatMap(([key, value]) =>
    key.startsWith('$') ? (value as Filter[]).flatMap(fieldsIn) : [key],
  )

/** The order of texts in the store: by the bytes of UTF-8, which is that of code points. */
function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)]
    if (x === y) continue
    // Halves of a pair stand before U+E000 in UTF-16, and for larger code points.
    const isPair = (unit: number) => unit >= 0xd800 && unit < 0xe000
    return isPair(x) === isPair(y) ? x - y : isPair(x) ? 1 : -1
  }
  return a.length - b.length
}

const ranks: Record<string, number> = { number: 1, string: 2, boolean: 3 }
const rankOf = (value: unknown) => ranks[typeof value] ?? 0

/** The order of the store: null and missing values, numbers, texts, booleans. */
export function compareValues(a: unknown, b: unknown): number {
  const rank = rankOf(a)
  if (rank !== rankOf(b)) return rank - rankOf(b)
  if (rank === 2) return compareTexts(a as string, b as string)
  return rank === 0 ? 0 : Number(a) - Number(b)
}

const isSame = (a: unknown, b: unknown) => (a ?? null) === (b ?? null)
/** A comparison holds between values of one type only. */
const compared = (holds: (order: number) => boolean) => (value: unknown, wanted: unknown) =>
  rankOf(value) === rankOf(wanted) && holds(compareValues(value, wanted))

const operators: Record<string, (value: unknown, wanted: unknown) => boolean> = {
  $gt: compared((order) => order > 0),
  $gte: compared((order) => order >= 0),
  $lt: compared((order) => order < 0),
  $lte: compared((order) => order <= 0),
}

function testOf(wanted: unknown): (value: unknown) => boolean {
  if (typeof wanted !== 'object' || wanted === null) return (value) => isSame(value, wanted)
  const { $regex, $options, $ne, ...rest } = wanted as Filter
  if ($ne !== undefined) throw new Error('$ne is tested for the whole value')
  const pattern = $regex === undefined ? undefined : new RegExp($regex as string, `${($options as string) ?? ''}u`)
  const tests = Object.entries(rest).map(([name, operand]) => {
    const holds = operators[name]
    if (!holds) throw new Error(`A filter with ${name} is not known here`)
    return (value: unknown) => holds(value, operand)
  })
  return (value) =>
    (!pattern || (typeof value === 'string' && pattern.test(value))) && tests.every((test) => test(value))
}

/** Tests a field: of a list, one element has to fit. */
function fieldTest(key: string, wanted: unknown): Test {
  const { $ne, ...others } = (typeof wanted === 'object' && wanted !== null ? wanted : {}) as Filter
  if ($ne !== undefined && Object.keys(others).length === 0) {
    const fits = fieldTest(key, $ne)
    return (record) => !fits(record)
  }
  const test = testOf(wanted)
  return (record) => {
    const value = record[key]
    return Array.isArray(value) ? value.some(test) : test(value)
  }
}

/** The test of a filter as `searchFilter`, `filterOf` and `Order` make them, which is that of the store. */
export function testFor(filter: Filter): Test {
  const tests = Object.entries(filter).map(([key, value]): Test => {
    if (!key.startsWith('$')) return fieldTest(key, value)
    const parts = (value as Filter[]).map(testFor)
    if (key === '$and') return (record) => parts.every((part) => part(record))
    if (key === '$or') return (record) => parts.some((part) => part(record))
    if (key === '$nor') return (record) => !parts.some((part) => part(record))
    throw new Error(`A filter with ${key} is not known here`)
  })
  return (record) => tests.every((test) => test(record))
}
