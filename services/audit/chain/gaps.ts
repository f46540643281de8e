/**
 * A range of missing records. `hash` is the hash of the last one, if the record after it tells; `line` is the line of
 * that record.
 */
export type Gap = { from: number; to: number; hash: string | null; line: number | null }

/**
 * Limit of open gaps: further ones are reported as missing at once, so that memory is bounded for files of any size.
 */
const maxGaps = 10_000

/** Tracks the gaps of a chain in order, until their records follow. */
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
    /** Notes the hash that the record after a gap expects of the last one in it. */
    expect: (seq: number, hash: string) => {
      const last = gaps.at(-1)
      if (last?.to === seq) last.hash = hash
    },
    /**
     * Fills a gap with a late record.
     * @returns the expected hash, null if unknown, or undefined if the record is not missing
     */
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
