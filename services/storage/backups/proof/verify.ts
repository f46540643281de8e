import type { Params } from '#shared/contract/contract.ts'
import type { Proof } from '#shared/contracts/storage/backup-proofs.ts'
import type { Backup, backups } from '#shared/contracts/storage/backups.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { apiPathOf, type BackupRecord, backupRecords, storePathOf, viewOf } from '../model.ts'
import { openStore } from '../store/open-store.ts'
import { checkData, checkStructure } from './check.ts'
import { recordProof } from './record.ts'

type Verifying = { backup: string; level: 'structure' | 'data' }

/** @throws ConflictError for a backup that is being made or deleted */
export function requireReady({ id, state }: BackupRecord): void {
  if (state !== 'ready') throw new ConflictError(`Backup '${id}' is ${state}`, { details: { state } })
}

export const proofOf = (error: string | null): Proof => ({ at: now(), ok: error === null, error })

export async function runVerify(op: Op, { backup, level }: Verifying): Promise<Backup> {
  const record = await backupRecords.require(backup)
  const check = async () =>
    checkStructure(await openStore(record.pool), record.manifest ?? '', record.manifest_sha256 ?? '')
  const structure = await op.step('checking structure', async () => proofOf((await check()).error))
  // A backup without its structure has no data either.
  let data = structure.ok ? null : structure
  if (structure.ok && level === 'data')
    data = await op.step('checking data', async () => {
      const objects = await openStore(record.pool)
      const { chunks, catalog } = await check()
      const onProgress = (done: number, total: number) => op.progress(done, total, 'steps')
      return proofOf(await checkData(objects, catalog, chunks, { signal: op.signal, onProgress }))
    })
  await op.commit()
  await op.step('recording', () => recordProof(backup, { structure, ...(data && { data }) }))
  return viewOf(await backupRecords.require(backup))
}

export const verify = operation({
  accept: async ({ id, level }: Params<typeof backups, 'verify'>, { share, hold }): Promise<Verifying> => {
    await hold(apiPathOf(id))
    const record = await backupRecords.require(id)
    requireReady(record)
    await share(storePathOf(record.pool))
    return { backup: id, level }
  },
  run: runVerify,
})
