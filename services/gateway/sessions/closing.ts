/** Close codes: the protocol's own for going away, ours (4000 and up) like the HTTP status of the same thing. */
export const codes = {
  stopping: 1001,
  expired: 4401,
  forbidden: 4403,
  gone: 4410,
  unavailable: 4503,
} as const

/** Why a console ends, for the client and the record. */
export type Closing = { code: number; reason: string }

/** A reason as a close frame may carry it: at most 123 bytes (RFC 6455 section 5.5). */
export function shortReason(reason: string): string {
  const bytes = Buffer.from(reason)
  if (bytes.length <= 123) return reason
  return `${bytes
    .subarray(0, 119)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')}…`
}
