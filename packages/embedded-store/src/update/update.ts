import { checkFilterAt, checkFiltersUsed, parseArrayFilters } from './array-filters.ts'
import { clone, type Doc, isPlainObject, setField, typeName } from '../values/bson.ts'
import { compareValues, equalValues } from '../values/compare.ts'
import { checkId, checkUnchangedId } from './document-id.ts'
import { checkDollarField } from './dollar-fields.ts'
import { CommandError, failedToParse, notImplemented } from '../errors.ts'
import type { Test } from '../query/matcher.ts'
import { isArrayIndex, MISSING, ownValue } from '../values/paths.ts'
import { shellText } from '../values/shell-text.ts'
import { ARRAY_UPDATES } from './update-arrays.ts'
import { checkMeeting, claim, type Claims, noClaims } from './update-conflicts.ts'
import { FIELD_UPDATES, type Operation } from './update-operators.ts'
import { checkPath, isElements, type UpdateContext, visitPath } from './update-paths.ts'
import { rename } from './update-rename.ts'

/** An update that is ready to run; `apply` gives the new document and leaves the old one as it is. */
export type Update = {
  kind: 'operators' | 'document'
  /** True if an unchanged document counts as modified nevertheless. */
  countsAlways: (before: Doc) => boolean
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

/** Does nothing, but refuses `$` and `$[]` where they stand for nothing. */
const IDLE: Operation = { create: false, lenient: true, apply: () => {} }

const COMPILERS = { ...FIELD_UPDATES, ...ARRAY_UPDATES }

/** State of parsing an update. Errors are reported in the order of the operators, as MongoDB does. */
type Parsing = { claims: Claims; filters: Map<string, Test> }

const place = ({ claims, filters }: Parsing, parts: readonly string[]): void =>
  claim(claims, parts, (depth) => checkFilterAt(parts, depth, filters))

const renameStep = (parsing: Parsing, from: string, target: unknown): Step => {
  const fromParts = checkPath(from)
  // the source is claimed, so that another operator on it is seen
  place(parsing, fromParts)
  const step = rename(fromParts, target)
  place(parsing, step.parts)
  return step
}

const stepOf = (parsing: Parsing, operator: string, path: string, argument: unknown): Step => {
  if (operator === '$rename') return renameStep(parsing, path, argument)
  const parts = checkPath(path)
  const operation = (COMPILERS[operator] as (argument: unknown, path: string) => Operation)(argument, path)
  place(parsing, parts)
  return operator === '$setOnInsert' ? { path, parts, operation, when: onInsert } : { path, parts, operation }
}

const stepsOf = (parsing: Parsing, operator: string, fields: unknown): Step[] => {
  if (operator === '$bit') throw notImplemented('The update operator $bit')
  if (operator !== '$rename' && !Object.hasOwn(COMPILERS, operator))
    throw failedToParse(
      `Unknown modifier: ${operator}. Expected a valid update modifier or pipeline-style update specified as an array`,
    )
  if (!isPlainObject(fields))
    throw failedToParse(
      `Modifiers operate on fields but we found type ${typeName(fields)} instead. For example: {$mod: {<field>: ...}} not {${operator}: ${shellText(fields)}}`,
    )
  return Object.entries(fields).map(([path, argument]) => stepOf(parsing, operator, path, argument))
}

/** The step as it is for one document: one that does not apply does nothing. */
const chosen = (doc: Doc, step: Step, context: UpdateContext): Step =>
  step.when && !step.when(doc, context) ? { ...step, operation: IDLE } : step

/** Checks that a step made a field of the document or replaced its value; deeper changes do not count. */
const hasSet = (before: Doc, doc: Doc, parts: readonly string[]): boolean => {
  const field = parts[0] as string
  if (!Object.hasOwn(doc, field)) return false
  return !Object.hasOwn(before, field) || (parts.length === 1 && !equalValues(before[field], doc[field]))
}

const run = (doc: Doc, before: Doc, { parts, operation }: Step, context: UpdateContext): void => {
  visitPath(doc, parts, operation, context, (slot) => operation.apply(slot, doc, context))
  if (context.inserting) return
  if (parts[0] === '_id') checkUnchangedId(before, doc)
  if (hasSet(before, doc, parts)) checkDollarField(doc, parts[0] as string)
}

/** The places that a step works on; missing fields on the way are made in a copy. */
const placesOf = (before: Doc, { parts, operation }: Step, context: UpdateContext): string[] => {
  const places: string[] = []
  visitPath(clone(before) as Doc, parts, operation, context, ({ place }) => places.push(place))
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

const comparePart = (a: string, b: string): number =>
  isArrayIndex(a) && isArrayIndex(b) ? Number(a) - Number(b) : compareValues(a, b)

/** MongoDB applies the operators in the order of their paths, which is the order in which new fields appear. */
const comparePaths = (a: Step, b: Step): number => {
  const depth = a.parts.findIndex((part, i) => part !== b.parts[i])
  return depth < 0 ? 0 : comparePart(a.parts[depth] as string, b.parts[depth] ?? '')
}

const operatorUpdate = (update: Doc, arrayFilters: unknown): Update => {
  const filters = parseArrayFilters(arrayFilters)
  const parsing: Parsing = { claims: noClaims(), filters }
  const steps = Object.entries(update).flatMap(([operator, fields]) => stepsOf(parsing, operator, fields))
  checkFiltersUsed(
    filters,
    steps.map(({ parts }) => parts),
    update,
  )
  const mayMeet = steps.filter(({ parts }) => parts.some(isElements)).length > 1
  steps.sort(comparePaths)
  return {
    kind: 'operators',
    countsAlways: () => false,
    apply: (before, { arrayIndex, inserting }) => {
      const doc = clone(before) as Doc
      const context: UpdateContext = { arrayIndex, inserting, filters, now: new Date() }
      if (mayMeet) {
        const wanted = steps.map((step) => chosen(before, step, context))
        for (const step of resolved(before, wanted, context)) run(doc, before, step, context)
      } else for (const step of steps) run(doc, before, chosen(doc, step, context), context)
      return doc
    },
  }
}

const replacement = (update: Doc): Update => ({
  kind: 'document',
  // MongoDB compares the old document, which begins with its _id, with the new one as it came
  countsAlways: (before) => Object.keys(update)[0] !== '_id' && Object.keys(before).length > 1,
  apply: (before, { inserting }) => {
    const id = ownValue(before, '_id')
    const newId = ownValue(update, '_id')
    if (newId !== MISSING) checkId(newId, inserting)
    if (id !== MISSING && newId !== MISSING && !equalValues(id, newId))
      throw new CommandError(
        66,
        `After applying the update, the (immutable) field '_id' was found to have been altered to _id: ${shellText(newId)}`,
      )
    const doc: Doc = {}
    if (id !== MISSING) doc['_id'] = id
    for (const key of Object.keys(update)) setField(doc, key, clone(update[key]))
    if (!inserting) for (const key of Object.keys(doc)) checkDollarField(doc, key)
    return doc
  },
})

/** Refuses an update that is neither operators nor a document; MongoDB checks it before anything else. */
export const checkForm = (update: unknown): void => {
  if (Array.isArray(update)) throw notImplemented('An update by a pipeline')
  if (!isPlainObject(update)) throw failedToParse('Update argument must be either an object or an array')
}

/** Parses `u` of an update: operators, or a whole document. */
export const parseUpdate = (update: unknown, arrayFilters: unknown): Update => {
  checkForm(update)
  if (!isPlainObject(update)) throw failedToParse('Update argument must be an object')
  if (Object.keys(update)[0]?.startsWith('$')) return operatorUpdate(update, arrayFilters)
  // a whole document does nothing with array filters, but they have to be right
  parseArrayFilters(arrayFilters)
  return replacement(update)
}
