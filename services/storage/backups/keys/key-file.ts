/**
 * The data key of a backup store in the format of age (age-encryption.org/v1), so that the program `age` opens it as well:
 * JSON with the key in Base64, encrypted for any number of X25519 recipients.
 */
import { dataKeyBytes, keyIdOf } from '../store/encryption.ts'

/** Loads the library at its first use. */
const loadAge = () => import('age-encryption')

/** A key file that cannot be opened, in words for people. */
export class ClosedKeyFile extends Error {}

type Payload = { format: 1; key_id: string; key: string }

export async function makeIdentity(): Promise<{ identity: string; recipient: string }> {
  const age = await loadAge()
  const identity = await age.generateX25519Identity()
  return { identity, recipient: await age.identityToRecipient(identity) }
}

/** @returns the mistake of a text that is no recipient, in words; null: it is one */
export async function mistakeOf(recipient: string): Promise<string | null> {
  const { Encrypter } = await loadAge()
  try {
    new Encrypter().addRecipient(recipient)
    return null
  } catch {
    return 'is no recipient of age: its checksum does not fit, so a character is wrong or missing'
  }
}

/** @throws Error for a text that is no recipient */
export async function wrapKey(dataKey: Uint8Array, recipients: readonly string[]): Promise<Buffer> {
  const { Encrypter } = await loadAge()
  const encrypter = new Encrypter()
  for (const recipient of recipients) encrypter.addRecipient(recipient)
  const payload: Payload = { format: 1, key_id: keyIdOf(dataKey), key: Buffer.from(dataKey).toString('base64') }
  return Buffer.from(await encrypter.encrypt(`${JSON.stringify(payload)}\n`))
}

/** The data key in a key file. @throws ClosedKeyFile */
export async function unwrapKey(file: Uint8Array, identity: string): Promise<Buffer> {
  const { Decrypter } = await loadAge()
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  let text: string
  try {
    text = await decrypter.decrypt(file, 'text')
  } catch (error) {
    const { message } = error as Error
    const words = message.includes('no identity matched')
      ? 'its key file is encrypted for others, not for this identity'
      : `its key file is damaged: ${message}`
    throw new ClosedKeyFile(words, { cause: error })
  }
  // The library has authenticated it, and `wrapKey` has written it.
  const { key, key_id } = JSON.parse(text) as Payload
  const dataKey = Buffer.from(key, 'base64')
  if (dataKey.length !== dataKeyBytes || keyIdOf(dataKey) !== key_id)
    throw new ClosedKeyFile('its key file has a key that does not fit its id')
  return dataKey
}
