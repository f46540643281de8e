import { type Doc, isPlainObject, toNumber } from '../values/bson.ts'
import { CommandError, failedToParse } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import type { Sort } from '../query/sort.ts'
import type { FindWindow } from './aggregate-window.ts'

/** Documents with one value of `partitionBy`, in their order, and the keys of that order. */
export type Partition = { docs: Doc[]; keys: Buffer[] }

/** Computes a field for each document of a partition. */
export type WindowFunction = (partition: Partition) => unknown[]

type Situation = { sort: Sort | undefined; find: FindWindow }
type Compile = (argument: unknown, situation: Situation) => WindowFunction

const needSort = (operator: string, { sort }: Situation): Sort => {
  if (!sort) throw new CommandError(5371602, `${operator} must be specified with a sortBy`)
  return sort
}

const rank =
  (operator: '$rank' | '$denseRank'): Compile =>
  (_, situation) => {
    needSort(operator, situation)
    return ({ keys }) => {
      let current = 0
      return keys.map((key, at) => {
        if (at === 0 || !keys[at - 1]?.equals(key)) current = operator === '$rank' ? at + 1 : current + 1
        return current
      })
    }
  }

const documentNumber: Compile = (_, situation) => {
  needSort('$documentNumber', situation)
  return ({ docs }) => docs.map((__, at) => at + 1)
}

const shift: Compile = (argument, situation) => {
  needSort('$shift', situation)
  if (!isPlainObject(argument)) throw failedToParse('Argument to $shift must be an object')
  const by = toNumber(argument['by'])
  if (by === undefined || !Number.isInteger(by)) throw failedToParse("'$shift:by' field must be an integer")
  const [output, otherwise] = [evaluate(argument['output']), evaluate(argument['default'] ?? null)]
  return ({ docs }) =>
    docs.map((_doc, at) => {
      const other = docs[at + by]
      return other ? (output(other) ?? null) : otherwise({})
    })
}

const movingAverage: Compile = (argument, situation) => {
  needSort('$expMovingAvg', situation)
  if (!isPlainObject(argument)) throw failedToParse('$expMovingAvg must have exactly one argument that is an object')
  const [n, given] = [toNumber(argument['N']), toNumber(argument['alpha'])]
  const alpha = n === undefined ? given : 2 / (n + 1)
  if (alpha === undefined || (n !== undefined && given !== undefined) || !(alpha > 0 && alpha < 1))
    throw failedToParse("$expMovingAvg takes either 'N', a positive integer, or 'alpha' between 0 and 1")
  const input = evaluate(argument['input'])
  return ({ docs }) => {
    let average: number | null = null
    return docs.map((doc) => {
      const value = toNumber(input(doc))
      if (value !== undefined) average = average === null ? value : value * alpha + average * (1 - alpha)
      return average
    })
  }
}

const MILLISECONDS: Record<string, number> = {
  week: 604_800_000,
  day: 86_400_000,
  hour: 3_600_000,
  minute: 60_000,
  second: 1000,
  millisecond: 1,
}

type Point = { x: number; y: number }

/** The values of `input` over those of the sorted field, of which dates count in a unit. */
const pointsOf = (operator: string, argument: unknown, situation: Situation) => {
  const [path, ...others] = needSort(operator, situation).paths
  if (others.length > 0) throw failedToParse(`${operator} requires a sortBy with one field`)
  if (!isPlainObject(argument)) throw failedToParse(`${operator} requires an object with 'input'`)
  const unit = argument['unit'] === undefined ? undefined : MILLISECONDS[String(argument['unit'])]
  if (argument['unit'] !== undefined && unit === undefined)
    throw failedToParse(`${operator}: unit must be a week or less`)
  const [place, input] = [evaluate(`$${path}`), evaluate(argument['input'])]
  return (doc: Doc): Point | undefined => {
    const [x, y] = [place(doc), toNumber(input(doc))]
    if ((unit !== undefined) !== x instanceof Date)
      throw new CommandError(
        5624901,
        `${operator} with unit expects the sortBy field to be a Date, without it a number`,
      )
    return y === undefined ? undefined : { x: Number(x) / (unit ?? 1), y }
  }
}

const derivative: Compile = (argument, situation) => {
  const point = pointsOf('$derivative', argument, situation)
  return (partition) =>
    partition.docs.map((_, at) => {
      const [from, to] = situation.find(partition, at)
      const [first, last] = [partition.docs[from], partition.docs[to - 1]]
      const [a, b] = [first && point(first), last && point(last)]
      return a && b && to - from > 1 && a.x !== b.x ? (b.y - a.y) / (b.x - a.x) : null
    })
}

/** By trapezoids. */
const integral: Compile = (argument, situation) => {
  const point = pointsOf('$integral', argument, situation)
  return (partition) =>
    partition.docs.map((_, at) => {
      const [from, to] = situation.find(partition, at)
      const points = partition.docs
        .slice(from, to)
        .map(point)
        .filter((found) => found !== undefined)
      if (points.length === 0) return null
      return points.reduce((sum, { x, y }, i) => {
        const before = points[i - 1]
        return before ? sum + ((y + before.y) * (x - before.x)) / 2 : sum
      }, 0)
    })
}

const covariance =
  (freedom: 0 | 1): Compile =>
  (argument, { find }) => {
    const compute = evaluate(argument)
    return (partition) =>
      partition.docs.map((_, at) => {
        const pairs = partition.docs
          .slice(...find(partition, at))
          .map((doc) => compute(doc))
          .filter(
            (pair): pair is [number, number] => Array.isArray(pair) && pair.every((one) => typeof one === 'number'),
          )
        if (pairs.length <= freedom) return null
        const mean = (side: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[side], 0) / pairs.length
        const [meanX, meanY] = [mean(0), mean(1)]
        return pairs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / (pairs.length - freedom)
      })
  }

const carried: Compile = (argument) => {
  const compute = evaluate(argument)
  return ({ docs }) => {
    let last: unknown = null
    return docs.map((doc) => (last = compute(doc) ?? last))
  }
}

/** Between two known values by their distance in the sorted field; outside of them null. */
const linear: Compile = (argument, situation) => {
  const [path, ...others] = needSort('$linearFill', situation).paths
  if (others.length > 0) throw new CommandError(605001, '$linearFill must be specified with a sortBy of one field')
  const [place, input] = [evaluate(`$${path}`), evaluate(argument)]
  return ({ docs }) => {
    const points = docs.map((doc) => ({ x: Number(place(doc)), y: toNumber(input(doc)) }))
    return points.map(({ x, y }, at) => {
      if (y !== undefined) return y
      const before = points.findLast((point, i) => i < at && point.y !== undefined)
      const after = points.find((point, i) => i > at && point.y !== undefined)
      if (before?.y === undefined || after?.y === undefined) return null
      return before.y + ((after.y - before.y) * (x - before.x)) / (after.x - before.x)
    })
  }
}

export const WINDOW_FUNCTIONS: Record<string, Compile> = {
  $rank: rank('$rank'),
  $denseRank: rank('$denseRank'),
  $documentNumber: documentNumber,
  $shift: shift,
  $expMovingAvg: movingAverage,
  $derivative: derivative,
  $integral: integral,
  $covariancePop: covariance(0),
  $covarianceSamp: covariance(1),
  $locf: carried,
  $linearFill: linear,
}
