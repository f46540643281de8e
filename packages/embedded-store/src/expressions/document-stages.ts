import { type Doc, isPlainObject, typeName } from '../values/bson.ts'
import { parseComputedFields } from './computed-fields.ts'
import { CommandError } from '../errors.ts'
import { evaluateTyped } from './expressions.ts'
import { parseProjectStage } from '../query/projection.ts'
import { shellText } from '../values/shell-text.ts'

export type DocumentStage = (argument: unknown) => (doc: Doc) => Doc

/** Says of an error in the specification of a stage which stage it is. */
const specified = <T>(stage: string, parse: () => T): T => {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    throw new CommandError(error.code, `Invalid ${stage} :: caused by :: ${error.message}`, error.extra)
  }
}

const addFields =
  (stage: string): DocumentStage =>
  (argument) => {
    if (!isPlainObject(argument))
      throw new CommandError(40272, `${stage} specification stage must be an object, got ${typeName(argument)}`)
    return specified(stage, () => parseComputedFields(argument))
  }

const unset: DocumentStage = (argument) => {
  if (typeof argument !== 'string' && !Array.isArray(argument))
    throw new CommandError(31002, '$unset specification must be a string or an array')
  const paths = Array.isArray(argument) ? (argument as unknown[]) : [argument]
  if (paths.length === 0)
    throw new CommandError(31119, '$unset specification must be a string or an array with at least one field')
  const fields = paths.map((path): [string, unknown] => {
    if (typeof path === 'string') return [path, false]
    throw new CommandError(31120, '$unset specification must be a string or an array containing only string values')
  })
  return specified('$unset', () => parseProjectStage(fields))
}

const project: DocumentStage = (argument) => {
  if (!isPlainObject(argument)) throw new CommandError(15969, '$project specification must be an object')
  return specified('$project', () => {
    const fields = Object.entries(argument)
    if (fields.length === 0) throw new CommandError(51272, 'projection specification must have at least one field')
    return parseProjectStage(fields)
  })
}

const replacing = (what: string, expression: unknown): ((doc: Doc) => Doc) => {
  const compute = evaluateTyped(expression)
  return (doc) => {
    const value = compute(doc)
    if (isPlainObject(value)) return value
    const [text, type] = value === undefined ? ['MISSING', 'missing'] : [shellText(value), typeName(value)]
    throw new CommandError(
      40228,
      `${what} must evaluate to an object, but resulting value was: ${text}. Type of resulting value: '${type}'.`,
    )
  }
}

const replaceRoot: DocumentStage = (argument) => {
  if (!isPlainObject(argument))
    throw new CommandError(
      40229,
      `expected an object as specification for $replaceRoot stage, got ${typeName(argument)}`,
    )
  const unknown = Object.keys(argument).find((field) => field !== 'newRoot')
  if (unknown !== undefined) throw new CommandError(40415, `BSON field '$replaceRoot.${unknown}' is an unknown field.`)
  if (argument['newRoot'] === undefined)
    throw new CommandError(40414, "BSON field '$replaceRoot.newRoot' is missing but a required field")
  return replacing("'newRoot' expression ", argument['newRoot'])
}

/** The stages that make one document of another, which a pipeline may have both in an aggregation and in an update. */
export const DOCUMENT_STAGES = {
  $set: addFields('$set'),
  $addFields: addFields('$addFields'),
  $unset: unset,
  $project: project,
  $replaceRoot: replaceRoot,
  $replaceWith: (argument: unknown) => replacing("'replacement document' ", argument),
} satisfies Record<string, DocumentStage>
