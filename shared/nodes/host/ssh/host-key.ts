import { createHash } from 'node:crypto'
import type { ParsedKey, ServerHostKeyAlgorithm } from 'ssh2'
import { invalid } from '#shared/errors.ts'
import { ssh2 } from './library.ts'

/** `publicKey` as in known_hosts: type and base64. `fingerprint` as ssh-keygen -l prints it: `SHA256:…`. */
export type HostKey = { type: string; fingerprint: string; publicKey: string }

/** Describes a public key in SSH's wire format (RFC 4253 section 6.6), as a server presents it. */
export function describeHostKey(wire: Buffer): HostKey {
  const type = wire.toString('latin1', 4, 4 + wire.readUInt32BE(0))
  const hash = createHash('sha256').update(wire).digest('base64').replace(/=+$/, '')
  return { type, fingerprint: `SHA256:${hash}`, publicKey: `${type} ${wire.toString('base64')}` }
}

/** A parsed pinned key: the expected fingerprint, and the key types to request from the server if known. */
export type PinnedKey = { fingerprint: string; algorithms: ServerHostKeyAlgorithm[] | undefined }

/** Parses a pinned host key: `SHA256:…` or a public key with its type. @throws ValidationError */
export function parsePinnedKey(text: string): PinnedKey {
  const trimmed = text.trim()
  if (/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(trimmed))
    return { fingerprint: trimmed.replace(/=$/, ''), algorithms: undefined }
  const key = trimmed.startsWith('SHA256:') ? new Error('not a fingerprint') : parsePublicKey(trimmed)
  if (key instanceof Error)
    throw invalid('host_key', 'expected a fingerprint (SHA256:…) or a public key (ssh-ed25519 AAAA…)')
  const { type, fingerprint } = describeHostKey(key.getPublicSSH())
  return { fingerprint, algorithms: type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [key.type] }
}

function parsePublicKey(text: string): ParsedKey | Error {
  const parsed = ssh2().utils.parseKey(text)
  // Despite its type, parseKey gives an array for some formats.
  return Array.isArray(parsed) ? (parsed[0] as ParsedKey) : parsed
}
