import { clone, type Doc, isPlainObject, setField } from './bson.ts'
import { equalValues } from './compare.ts'
import { badValue, CommandError, failedToParse } from './errors.ts'
import { checkExpression, runStages } from './expressions.ts'

const STAGES = new Set(['$set', '$addFields', '$unset', '$project', '$replaceRoot', '$replaceWith'])

/** mingo sees all numbers as JavaScript's: where a value stayed what it was, it gets back the type that it had. */
const restoreTypes = (after: unknown, before: unknown): unknown => {
  if (isPlainObject(after) && isPlainObject(before)) {
    const restored: Doc = {}
    for (const key of Object.keys(after))
      setField(restored, key, Object.hasOwn(before, key) ? restoreTypes(after[key], before[key]) : after[key])
    return restored
  }
  if (Array.isArray(after) && Array.isArray(before))
    return (after as unknown[]).map((value, i) => (i < before.length ? restoreTypes(value, before[i]) : value))
  return before !== undefined && equalValues(after, before) ? before : after
}

const checkStage = (stage: unknown): Doc => {
  const keys = isPlainObject(stage) ? Object.keys(stage) : []
  const [name] = keys
  if (keys.length !== 1 || name === undefined)
    throw new CommandError(40323, 'A pipeline stage specification object must contain exactly one field.')
  if (!name.startsWith('$') || !STAGES.has(name)) {
    if (name.startsWith('$')) throw badValue(`${name} is not allowed to be used within an update`)
    throw failedToParse(`Unrecognized pipeline stage name: '${name}'`)
  }
  checkExpression((stage as Doc)[name])
  return stage as Doc
}

/** Compiles an update that is a pipeline. */
export const compilePipeline = (pipeline: unknown[]): ((doc: Doc) => Doc) => {
  const run = runStages(pipeline.map(checkStage))
  return (before) => {
    const [after] = run([clone(before) as Doc])
    if (!isPlainObject(after)) throw badValue("'newRoot' expression must evaluate to an object")
    const doc = restoreTypes(after, before) as Doc
    // a pipeline that makes a new root keeps the document's identity
    return Object.hasOwn(doc, '_id') || before['_id'] === undefined ? doc : { _id: before['_id'], ...doc }
  }
}
