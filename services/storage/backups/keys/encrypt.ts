import { randomBytes } from 'node:crypto'
import type { Params } from '#shared/contract/contract.ts'
import type { backupStoreKeys, Recipient, StoreEncryption } from '#shared/contracts/storage/backup-keys.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { throwAll } from '#shared/service/violations.ts'
import { storePathOf } from '../model.ts'
import { dataKeyBytes, keyIdOf } from '../store/encryption.ts'
import type { Objects } from '../store/objects.ts'
import { openStore, openStored, prepared } from '../store/open-store.ts'
import { forgetStore, hasStore, keyFileKey, writeStore } from '../store/store.ts'
import { makeIdentity, wrapKey } from './key-file.ts'
import { keyRecords } from './model.ts'
import { keysPathOf, viewOf } from './view.ts'
import { violationsOf } from './recipients.ts'
import { sealIdentity } from './unlock.ts'

type Encrypting = { pool: string; recipients: Pick<Recipient, 'name' | 'recipient'>[] }

/** @throws ConflictError for a store that has backups, or packs that a garbage collection has not removed */
export async function requireEmpty(pool: string, objects: Objects): Promise<void> {
  const backups = (await objects.list('backups/')).length
  const packs = (await objects.list('packs/')).length
  if (backups + packs === 0) return
  const reason = backups > 0 ? `has backups (${backups})` : `has ${packs} packs of deleted backups`
  const help =
    backups > 0
      ? 'Encrypt the store of another storage pool, or delete the backups and collect the garbage first'
      : 'Collect the garbage first'
  throw new ConflictError(`The backup store of '${pool}' ${reason}, which are not encrypted. ${help}`)
}

/** Makes the data key. A repeated step finds it: the key itself is in the record only, never in the journal. */
export async function makeKey({ pool, recipients }: Encrypting): Promise<void> {
  if (await keyRecords.get(pool)) return
  const dataKey = randomBytes(dataKeyBytes)
  const { identity, recipient: own_recipient } = await makeIdentity()
  const at = now()
  const key_file = await wrapKey(dataKey, [own_recipient, ...recipients.map(({ recipient }) => recipient)])
  await keyRecords.insert({
    id: pool,
    key_id: keyIdOf(dataKey),
    recipients: recipients.map((each) => ({ ...each, added_at: at })),
    own_recipient,
    sealed_identity: sealIdentity(identity),
    key_file: key_file.toString('base64'),
    created_at: at,
    updated_at: at,
  })
}

/** Takes away records of verifications and indexes from before, which are not encrypted; all of it can be missing. */
async function removeOld(objects: Objects): Promise<void> {
  for (const beginning of ['index/', 'damaged/', 'parts/', 'proofs.json'])
    for (const { key } of await objects.list(beginning)) await objects.remove(key)
}

/** Makes the store anew, with the key. */
export async function makeStore(pool: string, stored: Objects): Promise<void> {
  await removeOld(stored)
  await forgetStore(stored)
  await prepared(pool, stored)
}

/** @param hadStore there was one, without backups */
export async function undoStore(stored: Objects, hadStore: boolean): Promise<void> {
  await stored.remove(keyFileKey)
  await (hadStore ? writeStore(stored) : forgetStore(stored))
}

async function runEncrypt(op: Op, encrypting: Encrypting): Promise<StoreEncryption> {
  const { pool } = encrypting
  const hadStore = await op.step('looking for a store', async () => hasStore(await openStored(pool)))
  await op.step('making key', () => makeKey(encrypting), {
    undo: async () => void (await keyRecords.removeWhere({ _id: pool })),
  })
  await op.step('making store', async () => makeStore(pool, await openStored(pool)), {
    undo: async () => undoStore(await openStored(pool), hadStore),
  })
  await op.commit()
  return viewOf(pool, await keyRecords.require(pool))
}

export const encrypt = operation({
  accept: async (
    { id, recipients }: Params<typeof backupStoreKeys, 'encrypt'>,
    { hold, reserve },
  ): Promise<Encrypting> => {
    // No backup begins meanwhile.
    await hold(storePathOf(id))
    await reserve(keysPathOf(id))
    if (await keyRecords.get(id)) throw new ConflictError(`The backup store of '${id}' is encrypted already`)
    throwAll(await violationsOf(recipients, (index) => `recipients.${index}.`))
    await requireEmpty(id, await openStore(id))
    return { pool: id, recipients }
  },
  run: runEncrypt,
})
