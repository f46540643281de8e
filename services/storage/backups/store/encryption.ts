/**
 * Encryption of a backup store. From its data key (32 bytes) two keys are derived by HKDF-SHA256 without a salt, one for the
 * ids of chunks and one for content:
 *
 *     id of a chunk     HMAC-SHA256(key of ids, SHA-256 of the chunk): tells nothing about the chunk without the key
 *     key of an object  HMAC-SHA256(key of content, name of the object)
 *     stored bytes      nonce, 12 random bytes | AES-256-GCM of the bytes | tag, 16 bytes
 *
 * The name is the key of the object in the store, or `chunk/ID` for the frame of a chunk in a pack. Each name has a key of its
 * own, so that no object passes for another one, and the limits of AES-GCM for one key are far away.
 */
import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { DamagedPack, type Transform } from './pack.ts'

/** The ids of the chunks of a store, and its way from bytes to those that it stores. */
export type Encryption = {
  /** Tells data keys apart; null: the store is not encrypted. */
  keyId: string | null
  idOf: (chunk: Uint8Array) => Promise<string>
  /** The id that a chunk of zeros would have. */
  idOfZeros: (size: number) => Buffer
  encrypt: Transform
  /** @throws DamagedPack for bytes that have changed, or that belong to another name or key */
  decrypt: Transform
}

export const dataKeyBytes = 32
const nonceBytes = 12
const tagBytes = 16

/** SHA-256, computed on another thread. */
const digestOf = async (chunk: Uint8Array): Promise<Buffer> =>
  Buffer.from(await crypto.subtle.digest('SHA-256', chunk as Uint8Array<ArrayBuffer>))

/** Ids of chunks of zeros: a disk has one or two sizes of chunks. */
function keptIds(idOfDigest: (digest: Buffer) => Buffer): (size: number) => Buffer {
  const ids = new Map<number, Buffer>()
  return (size) => {
    const id = ids.get(size) ?? idOfDigest(createHash('sha256').update(Buffer.alloc(size)).digest())
    ids.set(size, id)
    return id
  }
}

export const unencrypted: Encryption = {
  keyId: null,
  idOf: async (chunk) => (await digestOf(chunk)).toString('hex'),
  idOfZeros: keptIds((digest) => digest),
  encrypt: async (_, bytes) => bytes,
  decrypt: async (_, bytes) => bytes,
}

const derive = (dataKey: Uint8Array, purpose: string, bytes = 32): Buffer =>
  Buffer.from(hkdfSync('sha256', dataKey, '', `horcrux backup store ${purpose}`, bytes))

/** Identifies a data key without telling it. */
export const keyIdOf = (dataKey: Uint8Array): string => derive(dataKey, 'key id', 16).toString('hex')

export function encryptionWith(dataKey: Uint8Array): Encryption {
  if (dataKey.length !== dataKeyBytes) throw new Error(`A data key has ${dataKeyBytes} bytes, not ${dataKey.length}`)
  const [idKey, contentKey] = [derive(dataKey, 'chunk ids'), derive(dataKey, 'content')]
  const idOfDigest = (digest: Buffer) => createHmac('sha256', idKey).update(digest).digest()
  // WebCrypto works on another thread.
  const keyFor = (name: string, usage: 'encrypt' | 'decrypt') => {
    const key = createHmac('sha256', contentKey).update(name).digest()
    return crypto.subtle.importKey('raw', key as Buffer<ArrayBuffer>, 'AES-GCM', false, [usage])
  }
  const how = (nonce: Uint8Array) => ({ name: 'AES-GCM', iv: nonce as Uint8Array<ArrayBuffer> })
  return {
    keyId: keyIdOf(dataKey),
    idOf: async (chunk) => idOfDigest(await digestOf(chunk)).toString('hex'),
    idOfZeros: keptIds(idOfDigest),
    async encrypt(name, bytes) {
      const nonce = randomBytes(nonceBytes)
      const key = await keyFor(name, 'encrypt')
      const encrypted = await crypto.subtle.encrypt(how(nonce), key, bytes as Buffer<ArrayBuffer>)
      return Buffer.concat([nonce, Buffer.from(encrypted)])
    },
    async decrypt(name, bytes) {
      if (bytes.length < nonceBytes + tagBytes) throw new DamagedPack('has content that is cut off')
      const [nonce, encrypted] = [bytes.subarray(0, nonceBytes), bytes.subarray(nonceBytes)]
      const key = await keyFor(name, 'decrypt')
      try {
        return Buffer.from(await crypto.subtle.decrypt(how(nonce), key, encrypted as Buffer<ArrayBuffer>))
      } catch (error) {
        if (!(error instanceof DOMException)) throw error
        const words = 'has content that cannot be decrypted: it has changed, or was encrypted with another key'
        throw new DamagedPack(words, { cause: error })
      }
    },
  }
}
