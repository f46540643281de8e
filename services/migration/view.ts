import { call } from '#shared/bus/call.ts'
import type { Migration } from '#shared/contracts/migration/migrations.ts'
import { moves, type MoveProgress } from '#shared/contracts/vm/moves.ts'
import { type Entry, findEntry } from '#shared/operation/entries.ts'
import { AppError } from '#shared/errors.ts'
import type { MigrationRecord } from './model.ts'
import { pauseOf } from './pause.ts'

type Status = Migration['status']

/** A guest whose memory was sent once is being sent what it has changed since; in post-copy, the rest. */
const isSyncing = (numbers: MoveProgress | null) => (numbers?.iteration ?? 0) > 1 || numbers?.post_copy_at != null

/** The phase of a migration that runs, by the step that it is in. */
export function phaseOf(stage: string | null, numbers: MoveProgress | null): Status {
  if (stage === null || /^(recording|waiting for a place|preparing|forecasting|making disk .*)$/.test(stage))
    return 'preparing'
  if (/^(moves\.|copying disk)/.test(stage)) return isSyncing(numbers) ? 'syncing' : 'transferring'
  return 'finalizing'
}

const ended: Partial<Record<Entry['state'], Status>> = {
  succeeded: 'completed',
  failed: 'failed',
  needs_attention: 'failed',
  rolled_back: 'failed',
  cancelled: 'cancelled',
}

/** Without its operation, and without an outcome, nothing completed it. */
const statusOf = (entry: Entry | null, numbers: MoveProgress | null): Status =>
  entry ? (ended[entry.state] ?? phaseOf(entry.stage, numbers)) : 'failed'

/** A migration, with what its operation tells of it. @param live numbers of the moment */
export function shownAs(record: MigrationRecord, entry: Entry | null, live: MoveProgress | null = null): Migration {
  const { outcome, is_off: _o, is_paused: _p, baseline: _b, ...kept } = record
  const numbers = live ?? kept.statistics
  const status = outcome ?? statusOf(entry, numbers)
  return {
    ...kept,
    status,
    statistics: numbers,
    pause: outcome === 'completed' ? pauseOf(record) : null,
    progress_percent: status === 'completed' ? 100 : (entry?.progress.percent ?? 0),
    error: entry?.error?.message ?? null,
    started_at: entry?.started_at ?? kept.created_at,
    ended_at: entry?.ended_at ?? kept.ended_at,
  }
}

async function liveOf({ vm_id: id }: MigrationRecord): Promise<MoveProgress | null> {
  try {
    return await call(moves, 'progress', { id }, { isQuestion: true })
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}

/** A migration as callers see it, with the numbers of the moment. */
export async function viewOf(record: MigrationRecord): Promise<Migration> {
  const entry = await findEntry(record.id)
  const isMoving = record.outcome === null && entry?.stage?.startsWith('moves.') === true
  return shownAs(record, entry, isMoving ? await liveOf(record) : null)
}
