import type { FastifyRequest } from 'fastify'
import { recordAudit } from '#shared/audit/audit.ts'
import { AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import { resourceOf } from '#shared/service/implement.ts'
import type { Route } from '../rest/ask-service.ts'

type Refused = Pick<FastifyRequest, 'caller' | 'id'>

type What = { kind: 'permission_denied' | 'suspicious_activity'; action: string; path: string }

/** Writes an audit record of a refusal by the gateway itself. Services record their own refusals. */
const recordRefusal = ({ caller, id }: Refused, what: What, { message }: Error) =>
  recordAudit({ ...what, caller, result: 'denied', request_id: id, message })

/** Refuses a WebSocket that a page of another site opened with its visitor's cookie. @throws ForbiddenError always */
export async function refuseOrigin(request: FastifyRequest, action: string): Promise<never> {
  const message = 'A WebSocket with the session cookie must come from a page of the same origin'
  const error = new ForbiddenError(message, { details: { origin: request.headers.origin ?? null } })
  await recordRefusal(request, { kind: 'suspicious_activity', action, path: request.url.split('?')[0]! }, error)
  throw error
}

/** Writes an audit record of an invalid credential on a route that no contract has. */
export async function recordRefusedProof(request: FastifyRequest, action: string, error: unknown): Promise<void> {
  if (!(error instanceof AuthenticationError)) return
  await recordRefusal(request, { kind: 'permission_denied', action, path: request.url.split('?')[0]! }, error)
}

/** Writes an audit record of what a route refuses: an invalid credential, or a missing right. */
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
