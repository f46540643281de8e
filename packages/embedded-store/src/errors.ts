/** Codes and names from MongoDB's error_codes.yml; drivers and applications act on the numbers. */
const NAMES: Record<number, string> = {
  1: 'InternalError',
  2: 'BadValue',
  9: 'FailedToParse',
  13: 'Unauthorized',
  14: 'TypeMismatch',
  16: 'InvalidLength',
  18: 'AuthenticationFailed',
  20: 'IllegalOperation',
  22: 'InvalidBSON',
  26: 'NamespaceNotFound',
  27: 'IndexNotFound',
  28: 'PathNotViable',
  40: 'ConflictingUpdateOperators',
  43: 'CursorNotFound',
  48: 'NamespaceExists',
  50: 'MaxTimeMSExpired',
  52: 'DollarPrefixedFieldName',
  53: 'InvalidIdField',
  54: 'NotSingleValueField',
  55: 'InvalidDBRef',
  56: 'EmptyFieldName',
  59: 'CommandNotFound',
  66: 'ImmutableField',
  67: 'CannotCreateIndex',
  72: 'InvalidOptions',
  73: 'InvalidNamespace',
  85: 'IndexOptionsConflict',
  86: 'IndexKeySpecsConflict',
  91: 'ShutdownInProgress',
  111: 'NotExactValueField',
  146: 'ExceededMemoryLimit',
  168: 'InvalidPipelineOperator',
  171: 'CannotIndexParallelArrays',
  175: 'QueryPlanKilled',
  197: 'InvalidIndexSpecificationOption',
  224: 'QueryFeatureNotAllowed',
  238: 'NotImplemented',
  263: 'OperationNotSupportedInTransaction',
  268: 'CannotBackup',
  292: 'QueryExceededMemoryLimitNoDiskUseAllowed',
  301: 'DataCorruptionDetected',
  10334: 'BSONObjectTooLarge',
  11000: 'DuplicateKey',
  14031: 'OutOfDiskSpace',
  17280: 'KeyTooLong',
}

/** An error that a client is told: `code` and `codeName` as MongoDB's, `extra` goes into the answer beside them. */
export class CommandError extends Error {
  readonly code: number
  readonly extra: Record<string, unknown>

  constructor(code: number, message: string, extra: Record<string, unknown> = {}) {
    super(message)
    this.name = 'CommandError'
    this.code = code
    this.extra = extra
  }

  /** MongoDB calls a code without a name of its own after its number. */
  get codeName(): string {
    return NAMES[this.code] ?? `Location${this.code}`
  }
}

export const badValue = (message: string) => new CommandError(2, message)
export const failedToParse = (message: string) => new CommandError(9, message)
export const typeMismatch = (message: string) => new CommandError(14, message)
export const missingField = (field: string) =>
  new CommandError(40414, `BSON field '${field}' is missing but a required field`)
export const wrongType = (field: string, type: string, wanted: string) =>
  typeMismatch(`BSON field '${field}' is the wrong type '${type}', expected ${wanted}`)
export const notImplemented = (what: string) =>
  new CommandError(238, `${what} is not supported by the embedded store; use MongoDB (MONGODB_URL) for it`)

/** SQLite's primary result code of an error of `node:sqlite`, or undefined for any other error. */
const sqliteCode = (error: unknown): number | undefined => {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined
  return error.errcode & 0xff
}

const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_NOTADB = 26

/** Errors after which SQLite may have rolled the whole transaction back: https://sqlite.org/lang_transaction.html */
export const endsTransaction = (error: unknown): boolean => {
  const code = sqliteCode(error)
  return code === SQLITE_FULL || code === SQLITE_IOERR
}

/**
 * Translates an error for the client: a CommandError as it is, a full disk to 14031, any other to an internal error.
 */
export const toCommandError = (error: unknown): CommandError => {
  if (error instanceof CommandError) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = sqliteCode(error)
  if (code === SQLITE_FULL)
    return new CommandError(14031, 'The disk of the store is full: free some space, then try again')
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB)
    return new CommandError(301, `The store's file is damaged (${message}): restore a backup`)
  if (code !== undefined && /no such table/.test(message))
    return new CommandError(175, 'The collection or index was dropped while it was read')
  if (error instanceof Error && error.name.startsWith('BSON')) return new CommandError(22, message)
  return new CommandError(1, `Internal error: ${message}`)
}

/** The fields of an answer that failed. */
export const errorReply = (error: CommandError): Record<string, unknown> => ({
  ok: 0,
  errmsg: error.message,
  code: error.code,
  codeName: error.codeName,
  ...error.extra,
})
