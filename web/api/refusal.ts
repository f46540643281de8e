export type Violation = { field: string; code: string; message: string }
type Body = {
  error?: string
  message?: string
  details?: Record<string, unknown>
  violations?: Violation[]
  request_id?: string
  retryable?: boolean
}

/** An error answer of the API, or a request that got no answer (`status` 0). */
export class Refusal extends Error {
  readonly status: number
  readonly code: string
  readonly violations: Violation[]
  readonly details: Record<string, unknown>
  readonly requestId: string | undefined
  readonly isRetryable: boolean

  constructor(status: number, body: Body, cause?: unknown) {
    super(body.message ?? `The server answers ${status}`, { cause })
    this.status = status
    this.code = body.error ?? ''
    this.violations = body.violations ?? []
    this.details = body.details ?? {}
    this.requestId = body.request_id
    this.isRetryable = body.retryable ?? status === 0
  }
}

export const asRefusal = (error: unknown): Refusal =>
  error instanceof Refusal ? error : new Refusal(0, { message: error instanceof Error ? error.message : String(error) })
