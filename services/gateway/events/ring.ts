import type { Frame } from './frame.ts'

/** The newest frames, in order, within a number and an amount of memory. */
export type Ring = {
  push: (frame: Frame) => void
  clear: (seq: number) => void
  /** Every event after this place is held. */
  start: () => number
  /** Frames after a place, as many as fit into so many bytes (at least one). */
  after: (seq: number, maxBytes: number) => Frame[]
}

const sizeOf = ({ bytes }: Frame) => bytes.ws.length

export function createRing(maxFrames: number, maxBytes: number): Ring {
  let frames: Frame[] = []
  /** Frames before this index are given up; they are cut off now and then, in one piece. */
  let head = 0
  let size = 0
  let start = 0

  const push = (frame: Frame) => {
    frames.push(frame)
    size += sizeOf(frame)
    while (frames.length - head > maxFrames || size > maxBytes) {
      const given = frames[head++]!
      size -= sizeOf(given)
      start = given.seq
    }
    if (head > maxFrames) {
      frames = frames.slice(head)
      head = 0
    }
  }

  const indexAfter = (seq: number) => {
    let [low, high] = [head, frames.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (frames[middle]!.seq > seq) high = middle
      else low = middle + 1
    }
    return low
  }

  const after = (seq: number, most: number) => {
    const from = indexAfter(seq)
    let to = from
    for (let bytes = 0; to < frames.length && (to === from || bytes < most); to++) bytes += frames[to]!.bytes.ws.length
    return frames.slice(from, to)
  }

  const clear = (seq: number) => {
    frames = []
    head = size = 0
    start = seq
  }
  return { push, clear, start: () => start, after }
}
