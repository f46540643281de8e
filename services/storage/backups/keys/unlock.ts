import { seal, unseal } from '#shared/config/secrets.ts'
import { ConflictError } from '#shared/errors.ts'
import { type Encryption, encryptionWith, keyIdOf } from '../store/encryption.ts'
import type { StoreConfig } from '../store/store.ts'
import { ClosedKeyFile, unwrapKey } from './key-file.ts'
import type { KeyRecord } from './model.ts'

const purpose = 'backup store'
export const sealIdentity = (identity: string): string => seal(identity, purpose)

/**
 * Decides if a store is opened with the key that Horcrux has for it.
 * @param config that of the store; null: it has none, or a damaged one
 * @throws ConflictError when the two contradict each other: nothing is read or written with a wrong key, or without one
 */
export function requireFitting(
  pool: string,
  config: StoreConfig | null,
  record: Pick<KeyRecord, 'key_id'> | null,
): void {
  if (config === null) return
  const stored = config.encryption?.key_id ?? null
  const known = record?.key_id ?? null
  if (stored === known) return
  const store = `The backup store of storage pool '${pool}'`
  if (known === null)
    throw new ConflictError(
      `${store} is encrypted with key ${stored}, and this Horcrux does not have it. An identity of one of its recipients opens the store with the restore.mjs that lies in it`,
    )
  if (stored === null)
    throw new ConflictError(
      `${store} is not encrypted, but Horcrux has key ${known} for it: something else lies in its place, or its config.json was changed`,
    )
  throw new ConflictError(
    `${store} is encrypted with key ${stored}, but Horcrux has key ${known} for it: another store lies in its place`,
  )
}

/** The data key of a store. @throws ConflictError when it cannot be opened */
export async function dataKeyOf({ id, key_id, sealed_identity, key_file }: KeyRecord): Promise<Buffer> {
  const refused = (reason: string, cause?: unknown) =>
    new ConflictError(`The key of the backup store of '${id}' cannot be opened: ${reason}`, { cause })
  let own: string
  try {
    own = unseal(sealed_identity, purpose)
  } catch (error) {
    throw refused('HORCRUX_SECRET_KEY is another one than at its encryption', error)
  }
  const dataKey = await unwrapKey(Buffer.from(key_file, 'base64'), own).catch((error: unknown) => {
    if (!(error instanceof ClosedKeyFile)) throw error
    throw refused(error.message, error)
  })
  if (keyIdOf(dataKey) !== key_id) throw refused(`it has key ${keyIdOf(dataKey)} instead of ${key_id}`)
  return dataKey
}

/** A data key never changes. */
const unlocked = new Map<string, Encryption>()

/** The encryption of a store, opened once in a process. @throws ConflictError when its key cannot be opened */
export async function unlock(record: KeyRecord): Promise<Encryption> {
  const known = unlocked.get(record.key_id)
  if (known) return known
  const encryption = encryptionWith(await dataKeyOf(record))
  unlocked.set(record.key_id, encryption)
  return encryption
}
