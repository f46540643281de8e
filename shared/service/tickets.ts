import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type Static, Type } from 'typebox'
import { v4 } from 'uuid'
import { CredentialRef } from '#shared/contracts/access/auth.ts'
import { nullable, Time } from '#shared/contracts/common.ts'
import { now } from '#shared/events/event.ts'

const lifeMs = 5 * 60_000
const sha256 = (text: string) => hash('sha256', text, 'hex')

/**
 * The stored fields of every ticket: it is for one use, by one user, within 5 minutes. Of its secret part only the hash is
 * kept. `gateway`: the process that holds open what it opened.
 */
export const ticketFields = {
  id: Type.String(),
  user: Type.String(),
  credential: CredentialRef,
  secret_hash: Type.String(),
  gateway: nullable(Type.String()),
  address: nullable(Type.String()),
  created_at: Time,
  expires_at: Time,
  opened_at: nullable(Time),
  closed_at: nullable(Time),
  reason: nullable(Type.String()),
}
export type Ticket = { [K in keyof typeof ticketFields]: Static<(typeof ticketFields)[K]> }

/** A new ticket: its text, which nobody keeps, and its fields. A repeated call makes another one. */
export function newTicket({ user, credential }: Pick<Ticket, 'user' | 'credential'>): {
  ticket: string
  fields: Ticket
} {
  const id = v4()
  // Programs that take it for a host name may write it in lower case, and know no longer labels than 63.
  const secret = randomBytes(24).toString('hex')
  const fields = {
    id,
    user,
    credential,
    secret_hash: sha256(secret),
    gateway: null,
    address: null,
    created_at: now(),
    expires_at: new Date(Date.now() + lifeMs).toISOString(),
    opened_at: null,
    closed_at: null,
    reason: null,
  }
  return { ticket: `${id}.${secret}`, fields }
}

/** The stored id in the text of a ticket. */
export const ticketIdIn = (ticket: string): string => ticket.split('.')[0] ?? ''

/** True when a stored ticket is this one, and can still be used. */
export function isUsable({ secret_hash, opened_at, expires_at }: Ticket, ticket: string): boolean {
  const secret = ticket.split('.')[1] ?? ''
  if (opened_at !== null || expires_at <= now()) return false
  return timingSafeEqual(Buffer.from(sha256(secret)), Buffer.from(secret_hash))
}
