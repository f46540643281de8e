import { checkExpression } from '../expressions/expression-check.ts'
import { runStages } from '../expressions/expressions-mingo.ts'
import { collect, type Stage } from './aggregate-environment.ts'
import type { Doc } from '../values/bson.ts'

/** A stage of mingo that needs all documents at once. */
export const computingAll = (name: string, argument: unknown): Stage => {
  checkExpression(argument)
  const run = runStages([{ [name]: argument }])
  return function* (input) {
    const docs: Doc[] = []
    yield* collect(name, input, docs)
    yield* run(docs)
  }
}
