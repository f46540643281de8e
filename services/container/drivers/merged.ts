import type { Output } from './process.ts'

/** The pieces of several streams as they come, each read only as fast as this is. */
export async function* merged(sources: readonly AsyncIterable<Output>[]): AsyncGenerator<Output> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]())
  const next = async (index: number) => ({ index, piece: await iterators[index]!.next() })
  const waiting = new Map(iterators.map((_, index) => [index, next(index)]))
  try {
    while (waiting.size > 0) {
      const { index, piece } = await Promise.race(waiting.values())
      if (piece.done) {
        waiting.delete(index)
        continue
      }
      yield piece.value
      waiting.set(index, next(index))
    }
  } finally {
    for (const index of waiting.keys()) void iterators[index]!.return?.()
  }
}

/** The pieces of one stream. */
export async function* outputFrom(source: AsyncIterable<Buffer>, stream: Output['stream']): AsyncGenerator<Output> {
  for await (const bytes of source) yield { stream, bytes }
}
