import type { Proof } from '#shared/contracts/storage/backup-proofs.ts'
import { event } from '#shared/events/event.ts'
import { backupRecords } from '../model.ts'

type Level = 'structure' | 'data' | 'boot'

/** Records verifications of a backup, with an event for each. One that is gone is fine. */
export async function recordProof(backup: string, proofs: Partial<Record<Level, Proof>>): Promise<void> {
  const record = await backupRecords.get(backup)
  if (!record) return
  const of = { vm_id: record.vm_id, container_id: record.container_id }
  const events = (Object.entries(proofs) as [Level, Proof][]).map(([level, { at, ok, error }]) =>
    event('BackupProven', { backup_id: backup, ...of, level, ok, error, timestamp: at }),
  )
  await backupRecords.updateWhere({ _id: backup }, { set: proofs, events })
}
