// Opens the key of an encrypted backup store with an identity of age, such as `age-keygen -o identity.txt` writes it. It does
// what `age -d -i identity.txt keys/data.age` does (age-encryption.org/v1, X25519 recipients), then derives two keys.
import { createDecipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman, hkdfSync } from 'node:crypto'

const letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const generators = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const hkdf = (key, salt, info) => Buffer.from(hkdfSync('sha256', key, salt, info, 32))
const bytesOf = (text) => Buffer.from(text, 'base64')

/** The 32 bytes of an identity (Bech32, BIP 173). */
function scalarOf(identity) {
  const [prefix, data] = ['age-secret-key-', identity.toLowerCase().slice('age-secret-key-1'.length)]
  const values = [...data].map((letter) => letters.indexOf(letter))
  const expanded = [...prefix].map((letter) => letter.charCodeAt(0))
  let sum = 1
  for (const value of [...expanded.map((code) => code >> 5), 0, ...expanded.map((code) => code & 31), ...values]) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [bit, generator] of generators.entries()) if ((top >> bit) & 1) sum ^= generator
  }
  if (sum !== 1 || values.length !== 58) throw new Error('The identity is mistyped: its checksum does not fit')
  const bits = values
    .slice(0, -6)
    .map((value) => value.toString(2).padStart(5, '0'))
    .join('')
  return Buffer.from(
    bits
      .slice(0, 256)
      .match(/.{8}/g)
      .map((byte) => Number.parseInt(byte, 2)),
  )
}

/** Decrypts by ChaCha20-Poly1305. @returns null when it was encrypted with another key, or has changed */
function decryptWith(key, nonce, bytes) {
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
  decipher.setAuthTag(bytes.subarray(-16))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()])
  } catch {
    return null
  }
}

/** The key of an age file, if a stanza of its header is for this identity. */
function fileKeyOf(header, scalar) {
  const form = { format: 'der', type: 'pkcs8' }
  const own = createPrivateKey({ key: Buffer.concat([bytesOf('MC4CAQAwBQYDK2VuBCIEIA=='), scalar]), ...form })
  const ownPublic = createPublicKey(own).export({ format: 'der', type: 'spki' }).subarray(-32)
  for (const [, share, body] of header.matchAll(/^-> X25519 (\S+)\n(\S+)$/gm)) {
    const key = Buffer.concat([bytesOf('MCowBQYDK2VuAyEA'), bytesOf(share)])
    const shared = diffieHellman({ privateKey: own, publicKey: createPublicKey({ key, format: 'der', type: 'spki' }) })
    const salt = Buffer.concat([bytesOf(share), ownPublic])
    const fileKey = decryptWith(hkdf(shared, salt, 'age-encryption.org/v1/X25519'), Buffer.alloc(12), bytesOf(body))
    if (fileKey) return fileKey
  }
  return null
}

/** The text of a short age file. */
function decryptFile(file, identities) {
  const end = file.indexOf('\n', file.indexOf('\n---') + 1)
  const header = file.subarray(0, end).toString('latin1')
  const [head, mac] = header.split('\n--- ')
  if (!header.startsWith('age-encryption.org/v1\n') || !mac)
    throw new Error('The key file is damaged: it has no header')
  const fileKey = identities.map((identity) => fileKeyOf(header, scalarOf(identity))).find(Boolean)
  if (!fileKey) throw new Error('The key file is encrypted for other recipients: none of these identities opens it')
  const expected = createHmac('sha256', hkdf(fileKey, '', 'header'))
    .update(`${head}\n---`)
    .digest()
  const payload = file.subarray(end + 1)
  const [nonce, last] = [payload.subarray(0, 16), Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])]
  const text = decryptWith(hkdf(fileKey, nonce, 'payload'), last, payload.subarray(16))
  if (!expected.equals(bytesOf(mac)) || !text) throw new Error('The key file is damaged: put back a copy of it')
  return text.toString('utf8')
}

/**
 * Functions that read an encrypted store.
 * @param file content of keys/data.age
 * @param identities text of a file of identities
 * @param keyId that config.json names
 */
export function openKey(file, identities, keyId) {
  const lines = identities.split('\n').map((line) => line.trim())
  const found = lines.filter((line) => line.startsWith('AGE-SECRET-KEY-1'))
  if (found.length === 0) throw new Error('The file of identities has no line that begins with AGE-SECRET-KEY-1')
  const { key, key_id } = JSON.parse(decryptFile(file, found))
  if (key_id !== keyId) throw new Error(`The key file has key ${key_id}, but the store is encrypted with ${keyId}`)
  const [idKey, contentKey] = ['chunk ids', 'content'].map((name) =>
    hkdf(bytesOf(key), '', `horcrux backup store ${name}`),
  )
  return {
    idOf: (digest) => createHmac('sha256', idKey).update(digest).digest('hex'),
    decrypt(name, bytes) {
      const nameKey = createHmac('sha256', contentKey).update(name).digest()
      const decipher = createDecipheriv('aes-256-gcm', nameKey, bytes.subarray(0, 12), { authTagLength: 16 })
      decipher.setAuthTag(bytes.subarray(-16))
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
    },
  }
}
