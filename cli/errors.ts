/** Exit codes of the client; `horcrux help exit-codes` prints them. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  signIn: 4,
  forbidden: 5,
  conflict: 6,
  unreachable: 7,
  timedOut: 8,
  operationFailed: 9,
  interrupted: 130,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

export const exitCodeTexts: Record<keyof typeof exitCodes, string> = {
  done: 'done',
  failed: 'failed',
  usage: 'wrong command line, or a value that the server refused (422)',
  notFound: 'not found',
  signIn: 'sign in first',
  forbidden: 'not allowed',
  conflict: 'wrong state, taken name, held lock, or changed by someone else',
  unreachable: 'the server, or a part of it, does not answer',
  timedOut: 'waited too long; the operation goes on',
  operationFailed: 'the operation failed, was cancelled or was rolled back',
  interrupted: 'interrupted by Ctrl-C',
}

type Extra = { code?: ExitCode; help?: string[]; requestId?: string | undefined; body?: unknown; cause?: unknown }

/** A failure of a command: a message, the commands that would help, and the exit code. */
export class CommandError extends Error {
  readonly code: ExitCode
  readonly help: string[]
  readonly requestId: string | undefined
  /** The API's error body, for `-o json`. */
  readonly body: unknown

  constructor(message: string, { code = exitCodes.failed, help = [], requestId, body, cause }: Extra = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'CommandError'
    this.code = code
    this.help = help
    this.requestId = requestId
    this.body = body
  }
}

/** A wrong command line. */
export const usageError = (message: string, ...help: string[]) =>
  new CommandError(message, { code: exitCodes.usage, help })
