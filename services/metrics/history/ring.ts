import type { Quality, MissingReason } from '#shared/contracts/metrics/monitoring.ts'
import { type Identity, qualityCode, type Table } from './table.ts'

/** One measurement of one subject. Columns that are absent were not measured. */
export type Row = {
  time: number
  steady: number
  identity: Identity
  source: string
  quality: Quality
  /** Of missing values. */
  reason?: MissingReason
  /** Why nothing, or not all, could be measured, for people. */
  because?: string
  values: Readonly<Record<string, number | undefined>>
}

/**
 * The last samples of one subject, in arrays that are made once. `last` is the newest row, in the words of its source.
 */
export type Ring = ReturnType<typeof createRing>

const fixedColumns = 4
/** More identities than rows cannot be in use at once. */
const identityLimit = 64

export function createRing(columns: readonly string[], capacity: number) {
  const width = fixedColumns + columns.length
  const cells = new Float64Array(capacity * width)
  let identities: Identity[] = []
  /** Rows that were ever added. */
  let count = 0
  let last: { source: string; because: string | null } = { source: '', because: null }

  const sizeOf = () => Math.min(count, capacity)
  const rowAt = (index: number) => ((count - sizeOf() + index) % capacity) * width

  const identityIndex = ({ id, node }: Identity): number => {
    const known = identities.findLastIndex((each) => each.id === id && each.node === node)
    if (known >= 0) return known
    if (identities.length >= identityLimit) forgetOldIdentities()
    return identities.push({ id, node }) - 1
  }

  /** Keeps the identities that rows still name. */
  const forgetOldIdentities = () => {
    const kept: Identity[] = []
    const places = new Map<number, number>()
    for (let index = 0; index < sizeOf(); index++) {
      const at = rowAt(index) + 2
      const old = cells[at]!
      if (!places.has(old)) places.set(old, kept.push(identities[old]!) - 1)
      cells[at] = places.get(old)!
    }
    identities = kept
  }

  return {
    columns,
    /** Adds a row. One that is not newer than the last is left out. @returns false then */
    push(row: Row): boolean {
      const size = sizeOf()
      if (size > 0 && row.time <= cells[rowAt(size - 1)]!) return false
      const identity = identityIndex(row.identity)
      const at = (count % capacity) * width
      cells[at] = row.time
      cells[at + 1] = row.steady
      cells[at + 2] = identity
      cells[at + 3] = qualityCode(row.quality, row.reason)
      for (const [index, name] of columns.entries()) cells[at + fixedColumns + index] = finite(row.values[name])
      count++
      last = { source: row.source, because: row.because ?? null }
      return true
    },
    size: sizeOf,
    last: () => last,
    lastTime: () => (count === 0 ? -Infinity : cells[rowAt(sizeOf() - 1)]!),
    firstTime: () => (count === 0 ? Infinity : cells[rowAt(0)]!),
    /** A value of the newest row, or of one `back` rows before it; NaN if it is missing. */
    value(name: string, back = 0): number {
      const index = sizeOf() - 1 - back
      const column = columns.indexOf(name)
      return index < 0 || column < 0 ? NaN : cells[rowAt(index) + fixedColumns + column]!
    },
    /** The columns of the newest row, not copied: to be read before the next row. */
    newest(): Float64Array {
      const at = rowAt(Math.max(0, sizeOf() - 1)) + fixedColumns
      return cells.subarray(at, at + columns.length)
    },
    /** The newest rows, at most so many and none before a time, with these columns only. */
    tail(most: number, from: number, names: readonly string[]): Table {
      const size = sizeOf()
      let length = 0
      while (length < Math.min(most, size) && cells[rowAt(size - 1 - length)]! >= from) length++
      const copied = (column: number) => {
        const array = new Float64Array(length)
        for (let row = 0; row < length; row++) array[row] = cells[rowAt(size - length + row) + column]!
        return array
      }
      const found = new Map<string, Float64Array>()
      for (const name of names) {
        const column = columns.indexOf(name)
        if (column >= 0) found.set(name, copied(fixedColumns + column))
      }
      return {
        length,
        times: copied(0),
        steady: copied(1),
        identity: copied(2),
        quality: copied(3),
        identities,
        columns: found,
      }
    },
    /** The rows from a time on, as a copy. */
    table(from = -Infinity, to = Infinity): Table {
      const size = sizeOf()
      let [first, end] = [0, size]
      while (first < size && cells[rowAt(first)]! < from) first++
      while (end > first && cells[rowAt(end - 1)]! >= to) end--
      const length = end - first
      const arrays = Array.from({ length: width }, () => new Float64Array(length))
      for (let row = 0; row < length; row++) {
        const at = rowAt(first + row)
        for (let column = 0; column < width; column++) arrays[column]![row] = cells[at + column]!
      }
      const [times, steady, identity, quality] = arrays as [Float64Array, Float64Array, Float64Array, Float64Array]
      return {
        length,
        times,
        steady,
        identity,
        quality,
        identities: [...identities],
        columns: new Map(columns.map((name, index) => [name, arrays[fixedColumns + index]!])),
      }
    },
  }
}

/** Numbers that no measurement can have are missing: NaN, infinite, beyond 64 bits. */
const finite = (value: number | undefined) =>
  value === undefined || !Number.isFinite(value) || Math.abs(value) > 2 ** 63 ? NaN : value
