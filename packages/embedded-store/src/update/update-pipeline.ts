import { type Doc, isPlainObject } from '../values/bson.ts'
import { DOCUMENT_STAGES, type DocumentStage } from '../expressions/document-stages.ts'
import { CommandError } from '../errors.ts'
import { isStageName } from '../expressions/expressions-mingo.ts'

const STAGES = new Map<string, DocumentStage>(Object.entries(DOCUMENT_STAGES))

type NamedStage = { name: string; argument: unknown }

const stageOf = (stage: unknown): NamedStage => {
  if (!isPlainObject(stage)) throw new CommandError(14, "Each element of the 'pipeline' array must be an object")
  const [name, ...others] = Object.keys(stage)
  if (name === undefined || others.length > 0)
    throw new CommandError(40323, 'A pipeline stage specification object must contain exactly one field.')
  if (!isStageName(name)) throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`)
  return { name, argument: stage[name] }
}

/** Refuses an update with what are no stages; for this a command fails as a whole, also where it has other updates. */
export const checkPipeline = (update: unknown): void => {
  if (Array.isArray(update)) update.forEach(stageOf)
}

/** Compiles an update that is a pipeline. */
export const compilePipeline = (pipeline: unknown[]): ((doc: Doc) => Doc) => {
  const named = pipeline.map(stageOf)
  const stages = named.flatMap(({ name, argument }) => STAGES.get(name)?.(argument) ?? [])
  // errors within the stages are told before what must not be there at all
  const refused = named.find(({ name }) => !STAGES.has(name))
  if (refused) throw new CommandError(72, `${refused.name} is not allowed to be used within an update`)
  return (before) => {
    let doc = before
    for (const stage of stages) doc = stage(doc)
    return doc
  }
}
