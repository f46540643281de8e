import { type Doc, toNumber } from '../values/bson.ts'
import { CommandError, failedToParse } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import type { Sort } from '../query/sort.ts'
import type { FindWindow } from './aggregate-window.ts'

type Edge = (value: number) => number

const UNITS = ['millisecond', 'second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year']

/** A time so many units away; months have different lengths. */
const moved = (unit: string, amount: number): Edge => {
  const add = evaluate({ $dateAdd: { startDate: '$at', unit, amount } })
  return (value) => Number(add({ at: new Date(value) }))
}

const edgeOf = (bound: unknown, unit: unknown, unbounded: number): Edge => {
  if (bound === 'unbounded') return () => unbounded
  const amount = bound === 'current' ? 0 : toNumber(bound)
  if (amount === undefined) throw failedToParse("Range-based bounds must be 'unbounded', 'current', or a number")
  if (unit === undefined) return (value) => value + amount
  if (typeof unit !== 'string' || !UNITS.includes(unit)) throw failedToParse(`unknown time unit value: ${String(unit)}`)
  return moved(unit, amount)
}

/** The number or the date that a window is a range of; dates need a unit, and numbers bear none. */
const placeOf = (doc: Doc | undefined, value: (doc: Doc) => unknown, isDated: boolean): number => {
  const found = doc && value(doc)
  if (isDated ? !(found instanceof Date) : found instanceof Date || toNumber(found) === undefined)
    throw new CommandError(5429414, `Invalid range: Expected the sortBy field to be a ${isDated ? 'Date' : 'number'}`)
  return Number(found)
}

/** A window of the documents whose value of the one sorted field is within a range around the document's own. */
export const rangeFinder = (bounds: unknown, unit: unknown, sort: Sort | undefined): FindWindow => {
  if (!Array.isArray(bounds) || bounds.length !== 2) throw failedToParse('Window bounds must be a 2-element array')
  if (sort?.paths.length !== 1 || sort.directions[0] !== 1)
    throw new CommandError(5339902, 'Range-based bounds require sortBy a single ascending field')
  const value = evaluate(`$${sort.paths[0]}`)
  const [low, high] = [edgeOf(bounds[0], unit, -Infinity), edgeOf(bounds[1], unit, Infinity)]
  return ({ docs }, at) => {
    const places = (index: number): number => placeOf(docs[index], value, unit !== undefined)
    const own = places(at)
    const [least, most] = [low(own), high(own)]
    const firstWhere = (isBeyond: (place: number) => boolean): number => {
      let [from, to] = [0, docs.length]
      while (from < to) {
        const middle = (from + to) >> 1
        if (isBeyond(places(middle))) to = middle
        else from = middle + 1
      }
      return from
    }
    const start = firstWhere((place) => place >= least)
    return [
      start,
      Math.max(
        start,
        firstWhere((place) => place > most),
      ),
    ]
  }
}
