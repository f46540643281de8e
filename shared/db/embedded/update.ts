import { parseArrayFilters } from './array-filters.ts'
import { clone, type Doc, isPlainObject, setField, typeName } from './bson.ts'
import { compareValues, equalValues } from './compare.ts'
import { CommandError, failedToParse } from './errors.ts'
import { ownValue, MISSING } from './paths.ts'
import { shellText } from './shell-text.ts'
import { ARRAY_UPDATES } from './update-arrays.ts'
import { checkConflicts, checkMeeting } from './update-conflicts.ts'
import { FIELD_UPDATES, type Operation } from './update-operators.ts'
import { checkPath, type UpdateContext, visitPath } from './update-paths.ts'
import { compilePipeline } from './update-pipeline.ts'
import { rename } from './update-rename.ts'

/** An update that is ready to run; `apply` gives the new document and leaves the old one as it is. */
export type Update = {
  replaces: boolean
  /** A document keeps its `_id` where the update takes it away. */
  keepsId?: true
  apply: (doc: Doc, situation: { arrayIndex: number | undefined; inserting: boolean }) => Doc
}

/** `when` says whether the step applies to a document at all. */
export type Step = {
  path: string
  parts: string[]
  operation: Operation
  when?: (doc: Doc, context: UpdateContext) => boolean
}

const onInsert = (_: Doc, { inserting }: UpdateContext): boolean => inserting

const stepsOf = (operator: string, fields: unknown): Step[] => {
  if (!isPlainObject(fields))
    throw failedToParse(
      `Modifiers operate on fields but we found type ${typeName(fields)} instead. For example: {$mod: {<field>: ...}} not {${operator}: ${shellText(fields)}}`,
    )
  if (operator === '$rename') return Object.entries(fields).flatMap(([from, target]) => rename(from, target))
  const compile = Object.hasOwn(FIELD_UPDATES, operator)
    ? FIELD_UPDATES[operator]
    : Object.hasOwn(ARRAY_UPDATES, operator)
      ? ARRAY_UPDATES[operator]
      : undefined
  if (!compile)
    throw failedToParse(
      `Unknown modifier: ${operator}. Expected a valid update modifier or pipeline-style update specified as an array`,
    )
  return Object.entries(fields).map(([path, argument]) => {
    const step: Step = { path, parts: checkPath(path), operation: compile(argument, path) }
    if (operator === '$setOnInsert') step.when = onInsert
    return step
  })
}

/** The places that a step works on; what it would make on the way to them is made in a copy. */
const placesOf = (before: Doc, { parts, operation }: Step, context: UpdateContext): string[] => {
  const places: string[] = []
  visitPath(clone(before) as Doc, parts, operation.create, context, ({ place }) => places.push(place))
  return places
}

/**
 * Several paths with `$[]` or `$[name]` may mean the same element: which elements they mean is decided on the document as
 * it was, before any of them is changed.
 */
const resolved = (before: Doc, steps: readonly Step[], context: UpdateContext): Step[] => {
  const met: string[] = []
  return steps.flatMap((step) =>
    placesOf(before, step, context).map((place) => {
      checkMeeting(met, place)
      return { ...step, parts: place.split('.') }
    }),
  )
}

const operatorUpdate = (update: Doc, arrayFilters: unknown): Update => {
  const steps = Object.entries(update).flatMap(([operator, fields]) => stepsOf(operator, fields))
  checkConflicts(steps.map(({ path }) => path))
  const filters = parseArrayFilters(
    arrayFilters,
    steps.map(({ parts }) => parts),
    update,
  )
  const mayMeet = steps.filter(({ parts }) => parts.some((part) => part.startsWith('$['))).length > 1
  // MongoDB applies the operators in the order of their paths, which is the order in which new fields appear
  steps.sort((a, b) => compareValues(a.path, b.path))
  return {
    replaces: false,
    apply: (before, { arrayIndex, inserting }) => {
      const doc = clone(before) as Doc
      const context: UpdateContext = { arrayIndex, inserting, filters, now: new Date() }
      const wanted = steps.filter(({ when }) => !when || when(before, context))
      for (const { parts, operation } of mayMeet ? resolved(before, wanted, context) : wanted)
        visitPath(doc, parts, operation.create, context, (slot) => operation.apply(slot, doc, context))
      return doc
    },
  }
}

const replacement = (update: Doc): Update => ({
  replaces: true,
  apply: (before) => {
    const id = ownValue(before, '_id')
    const newId = ownValue(update, '_id')
    if (id !== MISSING && newId !== MISSING && !equalValues(id, newId))
      throw new CommandError(
        66,
        `After applying the update, the (immutable) field '_id' was found to have been altered to _id: ${shellText(newId)}`,
      )
    const doc: Doc = {}
    if (id !== MISSING) doc['_id'] = id
    for (const key of Object.keys(update)) if (key !== '_id' || id === MISSING) setField(doc, key, clone(update[key]))
    return doc
  },
})

/** Parses `u` of an update: operators, a whole document, or a pipeline. */
export const parseUpdate = (update: unknown, arrayFilters: unknown): Update => {
  if (Array.isArray(update)) {
    if (arrayFilters !== undefined) throw failedToParse('arrayFilters may not be specified for pipeline-syle updates')
    return { replaces: false, keepsId: true, apply: compilePipeline(update) }
  }
  if (!isPlainObject(update)) throw failedToParse('Update argument must be either an object or an array')
  const keys = Object.keys(update)
  if (keys[0]?.startsWith('$')) return operatorUpdate(update, arrayFilters)
  const dollar = keys.find((key) => key.startsWith('$'))
  if (dollar !== undefined)
    throw new CommandError(
      52,
      `The dollar ($) prefixed field '${dollar}' in '${dollar}' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith.`,
    )
  if (arrayFilters !== undefined) throw failedToParse('arrayFilters may not be specified for replacement-style updates')
  return replacement(update)
}
