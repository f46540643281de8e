import type { CredentialRef } from '#shared/access/access.ts'
import type { Identity } from '#shared/contracts/access/auth.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { findAndRemove } from '#shared/db/guarded.ts'
import { now } from '#shared/events/event.ts'
import { recheck } from './identify.ts'
import { tickets } from '../models.ts'
import { newSecret, sha256 } from './opaque-secret.ts'

const lifeMs = 30_000

/**
 * Issues a ticket for one WebSocket connection, for clients that can send neither header nor cookie. Only its hash is
 * stored.
 */
export async function issueTicket(
  user: string,
  credential: CredentialRef,
): Promise<{ ticket: string; expires_at: string }> {
  const ticket = newSecret()
  const expires_at = new Date(Date.now() + lifeMs).toISOString()
  await tickets.insert({ id: sha256(ticket), user, credential, expires_at })
  return { ticket, expires_at }
}

/**
 * Redeems a ticket once: the identity of the credential for which it was issued.
 * @throws AuthenticationError also on a second use
 */
export async function redeemTicket(ticket: string, address: string): Promise<Identity> {
  type Ticket = { user: string; credential: CredentialRef; expires_at: string }
  const found = await findAndRemove<Ticket>(tickets.model, { _id: sha256(ticket) })
  if (!found || found.expires_at <= now())
    throw new AuthenticationError('The ticket is wrong, used or older than 30 seconds; ask for a new one')
  return recheck({ user: found.user, credential: found.credential, address })
}

export const sweepTickets = () => tickets.removeWhere({ expires_at: { $lt: now() } })
