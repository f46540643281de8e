import type { PeerCertificate } from 'node:tls'
import type { Target } from './target.ts'

/** Options of a TLS connection. A pinned certificate is the only one that is accepted, under any host name. */
export function tlsOptions({ certificate }: Pick<Target, 'certificate'>): object {
  if (certificate === undefined) return {}
  return { ca: [certificate], checkServerIdentity: () => undefined }
}

/** Errors of Node for a certificate that the machine does not trust. */
const distrusted = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'CERT_HAS_EXPIRED',
]

export const isDistrusted = (error: unknown) =>
  distrusted.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '')

const limitMs = 10_000

/** The certificate that a server shows, unchecked: to be compared by a person. */
export async function shownCertificate(url: string): Promise<{ pem: string; fingerprint: string }> {
  const { connect } = await import('node:tls')
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const { promise, resolve, reject } = Promise.withResolvers<PeerCertificate>()
  // Nothing is sent over this connection.
  const socket = connect({ host, port: Number(port) || 443, rejectUnauthorized: false, timeout: limitMs })
  socket.once('secureConnect', () => resolve(socket.getPeerCertificate()))
  socket.once('timeout', () => reject(new Error(`${url} does not answer`)))
  socket.once('error', reject)
  try {
    const { raw, fingerprint256 } = await promise
    const base64 = raw
      .toString('base64')
      .replaceAll(/(.{64})/g, '$1\n')
      .trimEnd()
    return { pem: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`, fingerprint: fingerprint256 }
  } finally {
    socket.destroy()
  }
}
