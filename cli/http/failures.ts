import { CommandError, type ExitCode, exitCodes } from '../errors.ts'
import type { Target } from './target.ts'

/** Error body of the API. */
export type ErrorBody = {
  message?: string
  error?: string
  details?: Record<string, unknown>
  violations?: { field: string; code: string; message: string }[]
  request_id?: string
} | null

export type Asked = { target: Target; method: string; path: string }

const codes: Record<number, ExitCode> = {
  400: exitCodes.usage,
  401: exitCodes.signIn,
  403: exitCodes.forbidden,
  404: exitCodes.notFound,
  409: exitCodes.conflict,
  412: exitCodes.conflict,
  422: exitCodes.usage,
  429: exitCodes.unreachable,
  503: exitCodes.unreachable,
}

/** An error answer as a failure of the command: its exit code, and the commands that would help. */
export function failureOf(status: number, body: ErrorBody, asked: Asked): CommandError {
  const message = body?.message ?? `the server answered ${status} to ${asked.method} /api${asked.path}`
  return new ApiFailure(status, message, body, {
    code: codes[status] ?? exitCodes.failed,
    help: helpFor(status, message, asked),
    requestId: body?.request_id,
    body,
  })
}

/** A failure that the server answered. */
export class ApiFailure extends CommandError {
  readonly status: number
  readonly answer: ErrorBody
  constructor(
    status: number,
    message: string,
    answer: ErrorBody,
    extra: ConstructorParameters<typeof CommandError>[1],
  ) {
    super(message, extra)
    this.name = 'ApiFailure'
    this.status = status
    this.answer = answer
  }
}

function helpFor(status: number, message: string, { target }: Asked): string[] {
  if (status === 401) return [target.context ? `horcrux login -c ${target.context}` : `horcrux login ${target.url}`]
  if (status === 403) {
    const [, privilege, path] = /(\w+) on (\/\S*)/.exec(message) ?? []
    return privilege ? [`horcrux can-i ${privilege} ${path!.replace(/[.,;]$/, '')}`] : ['horcrux whoami']
  }
  if (status === 412) return ['read it again, then repeat the change']
  if (status === 500) return ['the log of the server has the request id']
  return []
}
