import { type Doc, isPlainObject, toNumber } from '../values/bson.ts'
import { CommandError, failedToParse } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import { encodeValue } from '../values/key-encoding.ts'
import { collect, type Stage } from './aggregate-environment.ts'
import { withField } from './with-field.ts'

type Range = { at: (begin: number, steps: number) => number; isDated: boolean; bounds: unknown }

const MAX_MADE = 500_000

const rangeOf = (spec: unknown): Range => {
  if (!isPlainObject(spec)) throw failedToParse("$densify needs a 'range'")
  const { unit, bounds } = spec
  const step = toNumber(spec['step'])
  if (step === undefined || step <= 0)
    throw new CommandError(5733401, 'the step parameter in a range statement must be positive')
  if (bounds !== 'full' && bounds !== 'partition' && !(Array.isArray(bounds) && bounds.length === 2))
    throw new CommandError(5733402, "a bounding array must have two elements; else bounds are 'full' or 'partition'")
  if (unit === undefined) return { at: (begin, steps) => begin + steps * step, isDated: false, bounds }
  const add = evaluate({ $dateAdd: { startDate: '$begin', unit, amount: '$amount' } })
  // from the beginning each time, so that months keep the day that they begin with
  const at = (begin: number, steps: number): number => Number(add({ begin: new Date(begin), amount: steps * step }))
  return { at, isDated: true, bounds }
}

const placeOf = (value: unknown, isDated: boolean): number => {
  if (isDated !== value instanceof Date || (!isDated && toNumber(value) === undefined))
    throw new CommandError(5733201, 'Densify field type must be a date with a unit, numeric without')
  return Number(value)
}

type Placed = { place: number; doc: Doc }
type Group = { key: Doc; placed: Placed[] }

/** The places from `low` on that no document has; `high` itself only where it is meant too. */
function* gaps({ at }: Range, taken: Placed[], low: number, high: number, isClosed: boolean): Generator<number> {
  const had = new Set(taken.map(({ place }) => place))
  for (let steps = 0; ; steps++) {
    const place = at(low, steps)
    if (isClosed ? place > high : place >= high) return
    if (steps > MAX_MADE) throw new CommandError(5897900, `$densify would make more than ${MAX_MADE} documents`)
    if (!had.has(place)) yield place
  }
}

const edges = (range: Range, groups: Group[], { placed }: Group): [number, number] => {
  if (Array.isArray(range.bounds))
    return (range.bounds as unknown[]).map((bound) => placeOf(bound, range.isDated)) as [number, number]
  const all = (range.bounds === 'full' ? groups.flatMap((group) => group.placed) : placed).map(({ place }) => place)
  return [all.reduce((a, b) => Math.min(a, b), Infinity), all.reduce((a, b) => Math.max(a, b), -Infinity)]
}

/** `$densify`: documents for the places in a sequence that have none, by partition and in the order of the field. */
export const densify = (argument: unknown): Stage => {
  if (!isPlainObject(argument) || typeof argument['field'] !== 'string')
    throw failedToParse("the $densify stage needs an object with a 'field'")
  const { field, partitionByFields } = argument
  const range = rangeOf(argument['range'])
  const names = Array.isArray(partitionByFields) ? (partitionByFields as unknown[]).map(String) : []
  const [value, ...keys] = [field, ...names].map((name) => evaluate(`$${name}`))
  const grouped = (docs: Doc[]): Group[] => {
    const groups = new Map<string, Group>()
    for (const doc of docs) {
      const key = Object.fromEntries(names.map((name, i) => [name, keys[i]?.(doc) ?? null]))
      const name = encodeValue(Object.values(key)).toString('latin1')
      const group = groups.get(name) ?? { key, placed: [] }
      groups.set(name, group)
      group.placed.push({ place: placeOf(value?.(doc), range.isDated), doc })
    }
    return [...groups.values()]
  }
  const made = ({ key }: Group, place: number): Doc => {
    const doc = Object.entries(key).reduce((result, [name, own]) => withField(result, name, own), {})
    return withField(doc, field, range.isDated ? new Date(place) : place)
  }
  return function* (input) {
    const docs: Doc[] = []
    yield* collect('$densify', input, docs)
    const isPlaced = (doc: Doc): boolean => (value?.(doc) ?? null) !== null
    yield* docs.filter((doc) => !isPlaced(doc))
    const groups = grouped(docs.filter(isPlaced))
    for (const group of groups) {
      const [low, high] = edges(range, groups, group)
      const filled = [...gaps(range, group.placed, low, high, !Array.isArray(range.bounds))]
      const all = [...group.placed, ...filled.map((place) => ({ place, doc: made(group, place) }))]
      for (const { doc } of all.toSorted((a, b) => a.place - b.place)) yield doc
    }
  }
}
