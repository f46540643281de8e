/** Places of the chain whose record has not come: `hash` is that of the last one, where the record behind it tells. */
export type Gap = { from: number; to: number; hash: string | null }

/** More than this many are not waited for: they are told as missing at once, and a file of any size fits into memory. */
const maxGaps = 10_000

/** Keeps the gaps of a chain, in their order, until their records come after all. */
export function newGaps(tooMany: (gap: Gap) => void) {
  const gaps: Gap[] = []
  const indexOf = (seq: number) => gaps.findIndex(({ from, to }) => seq >= from && seq <= to)

  return {
    add: (from: number, to: number) => {
      if (to < from) return
      if (gaps.length >= maxGaps) tooMany({ from, to, hash: null })
      else gaps.push({ from, to, hash: null })
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
      const { from, to, hash } = gap
      const before = seq > from ? [{ from, to: seq - 1, hash: null }] : []
      const behind = seq < to ? [{ from: seq + 1, to, hash }] : []
      gaps.splice(index, 1, ...before, ...behind)
      return seq === to ? hash : null
    },
    left: (): readonly Gap[] => gaps,
  }
}
