import type { Params } from '#shared/contract/contract.ts'
import type { backupStoreKeys, Recipient, StoreEncryption } from '#shared/contracts/storage/backup-keys.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { throwAll } from '#shared/service/violations.ts'
import { poolRecords } from '../../models.ts'
import { openToWrite } from '../store/open-store.ts'
import { wrapKey } from './key-file.ts'
import { type KeyRecord, keyRecords } from './model.ts'
import { violationsOf, withoutRecipient, withRecipient } from './recipients.ts'
import { dataKeyOf } from './unlock.ts'
import { keysPathOf, viewOf } from './view.ts'

type Changing = { pool: string; before: Recipient[]; after: Recipient[] }

/** @throws NotFoundError for a storage pool that is not there, ConflictError for a store that is not encrypted */
async function requireKey(pool: string): Promise<KeyRecord> {
  await poolRecords.require(pool)
  const record = await keyRecords.get(pool)
  if (!record) throw new ConflictError(`The backup store of '${pool}' is not encrypted`)
  return record
}

/** Encrypts the data key for these recipients. Packs and manifests stay as they are. */
export async function wrapFor(pool: string, recipients: Recipient[]): Promise<void> {
  const record = await keyRecords.require(pool)
  const all = [record.own_recipient, ...recipients.map(({ recipient }) => recipient)]
  const key_file = (await wrapKey(await dataKeyOf(record), all)).toString('base64')
  await keyRecords.updateWhere({ _id: pool }, { set: { recipients, key_file } })
}

async function runChange(op: Op, { pool, before, after }: Changing): Promise<StoreEncryption> {
  await op.step('encrypting key', () => wrapFor(pool, after), { undo: () => wrapFor(pool, before) })
  await op.commit()
  // A step that fails here is retried; the next backup compares the file as well.
  await op.step('writing key file', async () => void (await openToWrite(pool)))
  return viewOf(pool, await keyRecords.require(pool))
}

type Reserve = { reserve: (...keys: string[]) => Promise<void> }

export const addRecipient = operation({
  accept: async (
    { id, name, recipient }: Params<typeof backupStoreKeys, 'addRecipient'>,
    { reserve }: Reserve,
  ): Promise<Changing> => {
    await reserve(keysPathOf(id))
    const { recipients: before } = await requireKey(id)
    throwAll(await violationsOf([{ name, recipient }], () => ''))
    return { pool: id, before, after: withRecipient(before, { name, recipient, added_at: now() }) }
  },
  run: runChange,
})

export const removeRecipient = operation({
  accept: async (
    { id, name }: Params<typeof backupStoreKeys, 'removeRecipient'>,
    { reserve }: Reserve,
  ): Promise<Changing> => {
    await reserve(keysPathOf(id))
    const { recipients: before } = await requireKey(id)
    return { pool: id, before, after: withoutRecipient(before, name) }
  },
  run: runChange,
})
