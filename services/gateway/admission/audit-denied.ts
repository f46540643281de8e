import type { FastifyRequest } from 'fastify'
import { recordAudit } from '#shared/audit/audit.ts'
import { AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import { resourceOf } from '#shared/service/implement.ts'
import type { Route } from '../rest/answer.ts'

type Refused = Pick<FastifyRequest, 'caller' | 'id'>

type What = { kind: 'permission_denied' | 'suspicious_activity'; action: string; path: string }

/** Puts on record what the gateway itself refuses; what a service refuses, that service puts on record. */
const recordRefusal = ({ caller, id }: Refused, what: What, { message }: Error) =>
  recordAudit({ ...what, caller, result: 'denied', request_id: id, message })

/** Refuses a WebSocket that another site's page opened with the cookie of whoever reads it. @throws ForbiddenError always */
export async function refuseOrigin(request: FastifyRequest, action: string): Promise<never> {
  const message = 'A WebSocket with the session cookie must come from a page of the same origin'
  const error = new ForbiddenError(message, { details: { origin: request.headers.origin ?? null } })
  await recordRefusal(request, { kind: 'suspicious_activity', action, path: request.url.split('?')[0]! }, error)
  throw error
}

/** Puts on record a proof that does not hold, shown where no contract has a route. */
export async function recordRefusedProof(request: FastifyRequest, action: string, error: unknown): Promise<void> {
  if (!(error instanceof AuthenticationError)) return
  await recordRefusal(request, { kind: 'permission_denied', action, path: request.url.split('?')[0]! }, error)
}

/** Puts on record what a route refuses: a proof that does not hold, and whatever is forbidden. */
export async function recordRefusalOf(
  request: FastifyRequest,
  { name, action }: Route,
  error: unknown,
  kind: What['kind'] = 'permission_denied',
): Promise<void> {
  if (!(error instanceof ForbiddenError || error instanceof AuthenticationError)) return
  const path = resourceOf(action, request.params as Record<string, unknown>)
  await recordRefusal(request, { kind, action: name, path }, error)
}
