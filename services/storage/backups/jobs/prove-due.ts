import { call } from '#shared/bus/call.ts'
import { backups, backupStores } from '#shared/contracts/storage/backups.ts'
import type { BootCheck } from '#shared/contracts/storage/backup-proofs.ts'
import { idFrom } from '#shared/ids.ts'
import { every } from '#shared/runtime/repeat.ts'
import { type BackupRecord, backupRecords } from '../model.ts'
import { jobRecords, type JobRecord } from './model.ts'
import { once } from './once.ts'

const lookEveryMs = 300_000
const hourMs = 3_600_000
/** A boot that could not be tried is tried again after this long. */
const againMs = 6 * hourMs

type Dated = Pick<BackupRecord, 'id' | 'vm_id' | 'taken_at' | 'boot'>

/**
 * The backups to boot: the newest of each virtual machine whose last boot is too old, those that have waited longest first.
 */
export function dueBoots<B extends Dated>(own: readonly B[], everyHours: number, nowMs: number): B[] {
  const due: { backup: B; last: string }[] = []
  for (const ofVm of Map.groupBy(own, ({ vm_id }) => vm_id).values()) {
    const newest = ofVm.reduce((a, b) => ((a.taken_at ?? '') < (b.taken_at ?? '') ? b : a))
    const last = ofVm.map(({ boot }) => boot?.at ?? '').reduce((a, b) => (a < b ? b : a))
    if (last === '' || nowMs - Date.parse(last) >= everyHours * hourMs) due.push({ backup: newest, last })
  }
  return due.toSorted((a, b) => (a.last < b.last ? -1 : a.last > b.last ? 1 : 0)).map(({ backup }) => backup)
}

/** Boots the backups of a job that are due, one at a time. */
async function bootDue({ id: job, proof }: JobRecord, nowMs: number): Promise<void> {
  if (!proof?.boot) return
  const { every_hours, check, node, pool } = proof.boot
  const where = { ...(node !== undefined && { node }), ...(pool !== undefined && { pool }) }
  const window = Math.floor(nowMs / Math.min(againMs, every_hours * hourMs))
  for (const { id } of dueBoots(
    await backupRecords.all({ job_id: job, state: 'ready', kind: 'vm' }),
    every_hours,
    nowMs,
  )) {
    const operationId = idFrom(`${job}/${id}/boot/${window}`)
    const given = { id, check: check as BootCheck, ...where }
    const state = await once(operationId, 'a verification of a backup', () =>
      call(backups, 'prove', given, { operationId }),
    )
    if (state === 'active') return
  }
}

/** The stores whose data is read, each with the fewest days that a job asks for. */
export function daysByPool(jobs: readonly Pick<JobRecord, 'pool' | 'proof'>[]): Map<string, number> {
  const days = new Map<string, number>()
  for (const { pool, proof } of jobs)
    if (proof?.data_days != null) days.set(pool, Math.min(days.get(pool) ?? Infinity, proof.data_days))
  return days
}

/** Starts all verifications of jobs that are due. A store is read once a day, by UTC. */
export async function proveDue(): Promise<void> {
  const nowMs = Date.now()
  const jobs = await jobRecords.all({ enabled: true })
  const day = new Date(nowMs).toISOString().slice(0, 10)
  for (const [pool, days] of daysByPool(jobs)) {
    const operationId = idFrom(`${pool}/proof/${day}`)
    // A job that has not run yet may have no store.
    if ((await backupRecords.all({ pool, state: 'ready' })).length === 0) continue
    await once(operationId, 'a verification of a backup store', () =>
      call(backupStores, 'prove', { id: pool, days }, { operationId }),
    )
  }
  for (const job of jobs) await bootDue(job, nowMs)
}

export const proveRegularly = (): (() => void) =>
  every(lookEveryMs, proveDue, { part: 'backups', failed: 'verifications of backups were not started' })
