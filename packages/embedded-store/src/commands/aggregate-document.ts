import { DOCUMENT_STAGES } from '../expressions/document-stages.ts'
import type { Stage } from './aggregate-environment.ts'

/** A stage that makes one document of each. */
export const documentStage =
  (name: keyof typeof DOCUMENT_STAGES) =>
  (argument: unknown): Stage => {
    const run = DOCUMENT_STAGES[name](argument)
    return function* (input) {
      for (const doc of input) yield doc && run(doc)
    }
  }
