import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import jwt from 'jsonwebtoken'
import { AuthenticationError } from '#shared/errors.ts'

/** Claims of a token: user and session. Rights are looked up for each request. */
export type Claims = { user: string; session: string; expiresAt: Date }

export const tokenLifeMs = 15 * 60_000
const issuer = 'horcrux'

/** Derives a signing key from HORCRUX_JWT_SECRET and a salt, by HKDF (RFC 5869). */
export function deriveKey(jwtSecret: string, salt: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', jwtSecret, salt, 'horcrux jwt', 32)))
}

export function signToken({ user, session, expiresAt }: Claims, kid: string, key: KeyObject): string {
  const payload = { sid: session, exp: Math.floor(expiresAt.getTime() / 1000) }
  return jwt.sign(payload, key, { algorithm: 'HS256', keyid: kid, subject: user, issuer, audience: issuer })
}

const kidPattern = /^[a-z0-9-]{1,64}$/
const maxLength = 2048

/** Reads the key id of a token, before its signature is verified. @throws AuthenticationError */
export function keyIdOf(token: string): string {
  if (token.length > maxLength) throw refused('it is too long')
  const head = headOf(token)
  const kid = head?.['kid']
  if (head?.['alg'] !== 'HS256' || typeof kid !== 'string' || !kidPattern.test(kid)) throw refused('it is malformed')
  return kid
}

function headOf(token: string): Record<string, unknown> | null {
  const parts = token.split('.')
  if (parts.length !== 3 || parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part))) return null
  try {
    const head: unknown = JSON.parse(Buffer.from(parts[0]!, 'base64url').toString('utf8'))
    return typeof head === 'object' && head !== null && !('crit' in head) ? (head as Record<string, unknown>) : null
  } catch {
    return null
  }
}

/** Verifies a token and returns its claims. @throws AuthenticationError */
export function verifyToken(token: string, key: KeyObject): Claims {
  const now = Math.floor(Date.now() / 1000)
  let payload: jwt.JwtPayload | string
  try {
    payload = jwt.verify(token, key, { algorithms: ['HS256'], issuer, audience: issuer, clockTimestamp: now })
  } catch (error) {
    throw refused(error instanceof jwt.TokenExpiredError ? 'it has expired; refresh it' : 'it is not valid')
  }
  if (typeof payload === 'string') throw refused('it is malformed')
  const { sub, sid, exp, iat } = payload as { sub?: unknown; sid?: unknown; exp?: unknown; iat?: unknown }
  if (typeof sub !== 'string' || typeof sid !== 'string' || typeof exp !== 'number' || typeof iat !== 'number')
    throw refused('it is malformed')
  if (iat > now + 60 || exp - iat > tokenLifeMs / 1000 + 1) throw refused('its times are out of range')
  return { user: sub, session: sid, expiresAt: new Date(exp * 1000) }
}

const refused = (why: string) => new AuthenticationError(`The token is refused: ${why}`)
