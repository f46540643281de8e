import type { FastifyRequest } from 'fastify'
import { BadRequestError } from '#shared/errors.ts'
import { refuseOrigin } from '../admission/audit-denied.ts'
import { credentialOf } from '../admission/credentials.ts'
import type { Identities } from '../admission/identities.ts'
import { isSameOrigin } from '../admission/same-origin.ts'

/** @throws BadRequestError for a subprotocol that no console has */
export function requireBinary({ headers }: FastifyRequest): void {
  const offered = headers['sec-websocket-protocol']
  if (offered !== undefined && !offered.split(',').some((name) => name.trim() === 'binary'))
    throw new BadRequestError(`The subprotocol is 'binary', not '${offered}'`)
}

/** A ticket is enough. A credential sent beside it must be of the same user. */
export async function whoShows(
  request: FastifyRequest,
  { identify }: Identities,
  action: string,
): Promise<string | null> {
  const credential = credentialOf(request)
  if (!credential) return null
  if (credential.from === 'cookie' && !isSameOrigin(request)) await refuseOrigin(request, action)
  return (await identify(credential, request.address)).user
}
