import { checkExpression, runStages } from '../expressions.ts'
import { collect, type Stage } from './aggregate-environment.ts'
import type { Doc } from '../bson.ts'

/** A stage of mingo that looks at one document at a time. */
export const computing = (name: string, argument: unknown): Stage => {
  checkExpression(argument)
  const run = runStages([{ [name]: argument }])
  return function* (input) {
    for (const doc of input)
      if (doc === null) yield null
      else yield* run([doc])
  }
}

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
