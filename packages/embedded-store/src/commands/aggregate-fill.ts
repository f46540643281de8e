import { type Doc, isPlainObject } from '../values/bson.ts'
import { CommandError, failedToParse } from '../errors.ts'
import { documentStage } from './aggregate-document.ts'
import type { Stage } from './aggregate-environment.ts'
import { setWindowFields } from './aggregate-window.ts'

const METHODS: Record<string, string> = { locf: '$locf', linear: '$linearFill' }

/** `$fill`: values for what is null or missing, a given one each, or from the neighbours in an order. */
export const fill = (argument: unknown): Stage => {
  if (!isPlainObject(argument) || !isPlainObject(argument['output']))
    throw failedToParse("the $fill stage specification must be an object with an 'output'")
  const { partitionBy, partitionByFields, sortBy, output } = argument
  if (partitionBy !== undefined && partitionByFields !== undefined)
    throw new CommandError(6050204, "Maximum one of 'partitionBy' and 'partitionByFields' can be specified in '$fill'")
  const values: Doc = {}
  const methods: Doc = {}
  for (const [path, spec] of Object.entries(output as Doc)) {
    if (!isPlainObject(spec)) throw failedToParse(`The field '${path}' must be an object`)
    const method = METHODS[String(spec['method'])]
    if (Object.hasOwn(spec, 'value')) values[path] = { $ifNull: [`$${path}`, spec['value']] }
    else if (method) methods[path] = { [method]: `$${path}` }
    else throw new CommandError(6050202, `Method must be either locf or linear`)
  }
  const fields = Array.isArray(partitionByFields) ? (partitionByFields as unknown[]) : []
  const by =
    partitionBy ?? (fields.length > 0 ? fields.map((field) => ({ $ifNull: [`$${String(field)}`, null] })) : null)
  const stages: Stage[] = []
  if (Object.keys(methods).length > 0) stages.push(setWindowFields({ partitionBy: by, sortBy, output: methods }))
  if (Object.keys(values).length > 0) stages.push(documentStage('$set')(values))
  return (input) => stages.reduce((stream, stage) => stage(stream), input)
}
