import { type Catalog } from '../storage/catalog.ts'
import { CommandError } from '../errors.ts'
import type { Doc } from '../values/bson.ts'

/** Documents on their way through a pipeline; null is a place to pause. */
export type DocStream = Generator<Doc | null>

export type Stage = (input: DocStream) => DocStream

/** What a pipeline works in; `run` is a pipeline on a collection of the same database, or on none. */
export type Environment = {
  catalog: Catalog
  db: string
  run: (collection: string | undefined, pipeline: unknown) => DocStream
}

const MAX_COLLECTED = 100_000

/** Collects what a stage needs at once. @throws CommandError 292 when that is too much */
export function* collect(name: string, input: DocStream, into: Doc[]): Generator<null> {
  for (const doc of input)
    if (doc === null) yield null
    else if (into.push(doc) > MAX_COLLECTED)
      throw new CommandError(
        292,
        `${name} over more than ${MAX_COLLECTED} documents is not supported by the embedded store`,
      )
}
