import { alreadyExists } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import type { Accepting } from '#shared/operation/kinds.ts'
import { apiPathOf, type BackupRecord, backupRecords, storePathOf } from '../model.ts'
import { openToWrite } from '../store/open-store.ts'
import { requireSpace } from './space.ts'

/** The parts of the stored input that backups of VMs and of containers have in common. */
export type Beginning = {
  backup: string
  node: string
  pool: string
  job: string | null
  description: string
  protected: boolean
  bandwidthMib: number | null
}

/** Holds the id of a new backup. @throws ConflictError when there is one with this id */
export async function holdId(id: string, hold: Accepting['hold']): Promise<void> {
  await hold(apiPathOf(id))
  if (await backupRecords.get(id)) throw alreadyExists(id, { field: 'id' })
}

/** Takes the backup store of a storage pool for a backup, and checks that it can be written and has space. */
export async function shareStore(pool: string, share: Accepting['share']): Promise<void> {
  // A garbage collection, which holds it, would remove packs that are not in a manifest yet.
  await share(storePathOf(pool))
  await openToWrite(pool)
  await requireSpace(pool)
}

type Subject = Pick<BackupRecord, 'kind' | 'vm_id' | 'vm_name' | 'container_id' | 'container_name'>

/** Makes the record of a backup that begins; a repetition finds it. */
export async function recordBegin(
  { backup, node, pool, job, description, ...beginning }: Beginning,
  subject: Subject,
): Promise<void> {
  if (await backupRecords.get(backup)) return
  const at = now()
  await backupRecords.insert({
    id: backup,
    ...subject,
    container: null,
    node,
    pool,
    description,
    state: 'creating',
    taken_at: null,
    consistency: null,
    vm_status: null,
    disks: [],
    size_bytes: 0,
    data_bytes: 0,
    new_bytes: 0,
    stored_bytes: 0,
    protected: beginning.protected,
    job_id: job,
    structure: null,
    data: null,
    manifest: null,
    manifest_sha256: null,
    created_at: at,
    updated_at: at,
  })
}
