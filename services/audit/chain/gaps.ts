/**
 * Places of the chain whose record has not come: `hash` is that of the last one, where the record behind it tells, and
 * `line` where that lies.
 */
export type Gap = { from: number; to: number; hash: string | null; line: number | null }

/** More than this many are not waited for: they are told as missing at once, and a file of any size fits into memory. */
const maxGaps = 10_000

/** Keeps the gaps of a chain, in their order, until their records come after all. */
export function newGaps(tooMany: (gap: Gap) => void) {
  const gaps: Gap[] = []
  const indexOf = (seq: number) => gaps.findIndex(({ from, to }) => seq >= from && seq <= to)

  return {
    add: (from: number, to: number, line: number | null) => {
      if (to < from) return
      const gap = { from, to, hash: null, line }
      if (gaps.length >= maxGaps) tooMany(gap)
      else gaps.push(gap)
    },
    /** The record behind a gap says which hash the last one in it has. */
    expect: (seq: number, hash: string) => {
      const last = gaps.at(-1)
      if (last?.to === seq) last.hash = hash
    },
    /** A record that comes late fills its place. @returns the hash that was expected, undefined when nothing is missing there */
    fill: (seq: number): string | null | undefined => {
      const index = indexOf(seq)
      const gap = gaps[index]
      if (!gap) return undefined
      const { from, to, hash, line } = gap
      const before = seq > from ? [{ from, to: seq - 1, hash: null, line }] : []
      const behind = seq < to ? [{ from: seq + 1, to, hash, line }] : []
      gaps.splice(index, 1, ...before, ...behind)
      return seq === to ? hash : null
    },
    left: (): readonly Gap[] => gaps,
  }
}
