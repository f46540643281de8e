type Entry<T> = { atMs: number; order: number; what: T }

/** Events of a simulation by time; those of one time in the order in which they were added. */
export type EventQueue<T> = {
  add: (atMs: number, what: T) => void
  /** Takes the first one; undefined when there is none. */
  next: () => { atMs: number; what: T } | undefined
}

const isBefore = <T>(a: Entry<T>, b: Entry<T>) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** A binary heap. */
export function eventQueue<T>(): EventQueue<T> {
  const heap: Entry<T>[] = []
  let count = 0
  const swap = (a: number, b: number) => ([heap[a], heap[b]] = [heap[b]!, heap[a]!])
  function rise(index: number): void {
    const parent = (index - 1) >> 1
    if (index === 0 || !isBefore(heap[index]!, heap[parent]!)) return
    swap(index, parent)
    rise(parent)
  }
  function sink(index: number): void {
    const [left, right] = [2 * index + 1, 2 * index + 2]
    let first = index
    if (left < heap.length && isBefore(heap[left]!, heap[first]!)) first = left
    if (right < heap.length && isBefore(heap[right]!, heap[first]!)) first = right
    if (first === index) return
    swap(index, first)
    sink(first)
  }
  return {
    add: (atMs, what) => {
      heap.push({ atMs, order: count++, what })
      rise(heap.length - 1)
    },
    next: () => {
      const first = heap[0]
      const last = heap.pop()
      if (!first || !last) return undefined
      if (heap.length > 0) {
        heap[0] = last
        sink(0)
      }
      return first
    },
  }
}

/** Numbers from 0 to below 1 that follow from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
