import { type Doc, isPlainObject, setField } from '../values/bson.ts'
import { CommandError } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import type { Stage } from './aggregate-environment.ts'

/** `$redact`: the expression says of each document, and of each within it, whether to keep, prune or look into it. */
export const redact = (argument: unknown): Stage => {
  const decide = evaluate(argument, ['KEEP', 'PRUNE', 'DESCEND'])

  const redacted = (doc: Doc): Doc | undefined => {
    switch (decide(doc)) {
      case '$$KEEP':
        return doc
      case '$$PRUNE':
        return undefined
      case '$$DESCEND':
        return descended(doc)
      default:
        throw new CommandError(17053, '$redact has to give one of the variables $$KEEP, $$DESCEND and $$PRUNE')
    }
  }

  const descended = (doc: Doc): Doc => {
    const result: Doc = {}
    for (const key of Object.keys(doc)) {
      const value = inner(doc[key])
      if (value !== undefined) setField(result, key, value)
    }
    return result
  }

  const inner = (value: unknown): unknown => {
    if (Array.isArray(value)) return (value as unknown[]).map(inner).filter((element) => element !== undefined)
    return isPlainObject(value) ? redacted(value) : value
  }

  return function* (input) {
    for (const doc of input) {
      const kept = doc && redacted(doc)
      if (kept !== undefined) yield kept
    }
  }
}
