import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'

/** A mistake on the command line; the process ends with exit code 2. */
export class UsageError extends Error {}

/** The options of one command. @throws UsageError */
export function readArguments<T extends ParseArgsOptionsConfig>(words: string[], options: T) {
  try {
    return parseArgs({ args: words, options, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error })
  }
}
