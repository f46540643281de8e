import type { Output } from '../drivers/process.ts'

/** Output that waits to be taken. */
export type OutputBuffer = {
  /** Takes all that waits; waits for the first piece, at most for this time. Empty: nothing came, or the output is over. */
  take: (waitMs: number) => Promise<Output[]>
  /** True when the output is over and all of it was taken. */
  isOver: () => boolean
}

/** Reads output ahead of those who take it, by no more than about these bytes: then its source has to wait. */
export function bufferOutput(output: AsyncIterable<Output>, maxBytes: number): OutputBuffer {
  let waiting: Output[] = []
  let bytes = 0
  let hasEnded = false
  let arrived = Promise.withResolvers<void>()
  let taken = Promise.withResolvers<void>()

  const fill = async () => {
    try {
      for await (const piece of output) {
        // The piece may be a view of a buffer that its source writes over.
        waiting.push({ stream: piece.stream, bytes: Buffer.from(piece.bytes) })
        bytes += piece.bytes.length
        arrived.resolve()
        if (bytes < maxBytes) continue
        taken = Promise.withResolvers<void>()
        await taken.promise
      }
    } catch {
      // The streams broke off: the end of the process says what is known of it.
    } finally {
      hasEnded = true
      arrived.resolve()
    }
  }
  void fill()

  return {
    isOver: () => hasEnded && waiting.length === 0,
    take: async (waitMs) => {
      if (waiting.length === 0 && !hasEnded) {
        arrived = Promise.withResolvers<void>()
        const timer = setTimeout(() => arrived.resolve(), waitMs)
        await arrived.promise
        clearTimeout(timer)
      }
      const all = waiting
      waiting = []
      bytes = 0
      taken.resolve()
      return joined(all)
    },
  }
}

/** Joins neighbours of one stream. */
function joined(pieces: readonly Output[]): Output[] {
  const runs: { stream: 1 | 2; parts: Buffer[] }[] = []
  for (const { stream, bytes } of pieces) {
    const last = runs.at(-1)
    if (last?.stream === stream) last.parts.push(bytes)
    else runs.push({ stream, parts: [bytes] })
  }
  return runs.map(({ stream, parts }) => ({ stream, bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts) }))
}
