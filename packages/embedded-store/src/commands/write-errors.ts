import type { Doc } from '../values/bson.ts'
import { CommandError, endsTransaction, toCommandError } from '../errors.ts'

/** The errors of a bulk write by the place of the document or statement that failed. */
export type WriteError = { index: number; code: number; errmsg: string } & Doc

const MAX_BATCH = 100_000

/** @throws CommandError 16 for no statement, or for more than hello allows */
export const checkBatchSize = ({ length }: readonly unknown[]): void => {
  if (length === 0 || length > MAX_BATCH)
    throw new CommandError(16, `Write batch sizes must be between 1 and ${MAX_BATCH}. Got ${length} operations.`)
}

const writeError = (index: number, error: CommandError): WriteError => ({
  index,
  code: error.code,
  errmsg: error.message,
  ...error.extra,
})

/**
 * Runs the statements of a bulk write in turn. An ordered one stops at the first error; statements before it stay done,
 * as with MongoDB. An error that ends the transaction, such as a full disk, fails the command as a whole.
 */
export const runStatements = <T>(
  statements: readonly T[],
  ordered: boolean,
  run: (statement: T, index: number) => void,
): WriteError[] => {
  const errors: WriteError[] = []
  for (const [index, statement] of statements.entries()) {
    try {
      run(statement, index)
    } catch (error) {
      const known = toCommandError(error)
      if (endsTransaction(error) || known.code === 1) throw error
      errors.push(writeError(index, known))
      if (ordered) break
    }
  }
  return errors
}

/** The fields of an answer that tell the errors, when there are any. */
export const withErrors = (errors: WriteError[]): Doc => (errors.length > 0 ? { writeErrors: errors } : {})
