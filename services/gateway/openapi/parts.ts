import { Type } from 'typebox'
import { strict, Time } from '#shared/contracts/common.ts'

/** The error body, as every error has it. */
export const ApiError = strict({
  status: Type.Integer({ description: 'HTTP status' }),
  error: Type.String({ description: 'Machine-readable and stable, such as NOT_FOUND' }),
  message: Type.String({ description: 'What, which, why, and what would help' }),
  details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  violations: Type.Optional(
    Type.Array(strict({ field: Type.String(), code: Type.String(), message: Type.String() }), {
      description: 'All of them at once',
    }),
  ),
  request_id: Type.String(),
  timestamp: Time,
  retryable: Type.Boolean({ description: 'Whether the same request may succeed later' }),
  operation_id: Type.Optional(Type.String()),
})

export const sentences = {
  api: [
    'Every answer carries `X-Request-Id`; errors have one body, described as Error.',
    'What can take longer than a second answers 202 and an operation; `Prefer: wait=N` holds the answer.',
    'Sign in with `POST /api/auth/login` and send the token as `Authorization: Bearer`, or use an API key.',
    'With the session cookie, changes need the header `X-Horcrux-Request` and a page of the same origin.',
    'Events: WebSocket at `/api/ws`, Server-Sent Events at `/api/events`.',
  ].join('\n\n'),
  lines: 'The whole list, one JSON item a line',
}

const header = (description: string, type = 'string') => ({ description, schema: { type } })
export const headers = {
  RequestId: header("The caller's X-Request-Id, or a new one; it is in the logs, the audit and the operation"),
  Location: header('Where the operation can be seen'),
  ETag: header('The version of the resource, in quotes'),
  RetryAfter: header('Seconds to wait', 'integer'),
  RateLimitLimit: header('Requests a minute; not there where there is no limit', 'integer'),
  RateLimitRemaining: header('How many of them are left', 'integer'),
  RateLimitReset: header('Seconds until they begin anew', 'integer'),
}

const headerRef = (name: string) => ({ $ref: `#/components/headers/${name}` })
const rateLimited = {
  'X-RateLimit-Limit': headerRef('RateLimitLimit'),
  'X-RateLimit-Remaining': headerRef('RateLimitRemaining'),
  'X-RateLimit-Reset': headerRef('RateLimitReset'),
}
/** On every answer to what is counted. */
export const commonHeaders = { 'X-Request-Id': headerRef('RequestId'), ...rateLimited }

const parameter = (name: string, description: string, pattern?: string) => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string', ...(pattern && { pattern }) },
})
export const parameters = {
  IdempotencyKey: parameter(
    'Idempotency-Key',
    'The same key with the same parameters gives the same answer for 24 h; with other parameters 422',
    '^[\\x21-\\x7e]{1,255}$',
  ),
  IfPlan: parameter(
    'If-Plan',
    'Carry out this plan only: a plan_id of plan=true; 412 with the new plan when it is another by now',
  ),
  IfMatch: parameter('If-Match', 'Change only this version: an ETag such as "3"; 412 when it is another by now'),
  IfNoneMatch: parameter('If-None-Match', '304 when this is still the ETag'),
  Prefer: parameter('Prefer', '`wait=N` holds the answer for up to N seconds (at most 60)'),
}

const descriptions: Record<string, string> = {
  400: 'Malformed JSON, unknown content type',
  401: 'No, wrong or expired credentials',
  403: 'The message names subject, privilege and resource path',
  404: 'Not there, or not for the caller to know of',
  409: 'Wrong state, taken name, held lock',
  412: 'If-Match or If-Plan is no longer true',
  413: 'The body is larger than 1 MiB',
  416: 'The range begins behind the end; `Content-Range` has the size',
  422: 'All violations at once',
  429: 'Too many requests',
  500: 'A bug of Horcrux',
  503: 'A service or host does not answer',
}
export const problems = Object.fromEntries(
  Object.entries(descriptions).map(([status, description]) => [
    `E${status}`,
    {
      description,
      headers: {
        ...commonHeaders,
        ...((status === '429' || status === '503') && { 'Retry-After': headerRef('RetryAfter') }),
      },
      content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
    },
  ]),
)

export const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'The `token` of POST /auth/login' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: '`hx_…`' },
  session: { type: 'apiKey', in: 'cookie', name: 'horcrux_session', description: 'Set by POST /auth/login' },
}
