import { call } from '#shared/bus/call.ts'
import type { Baseline, GuestProbe, Health, HttpCheck } from '#shared/contracts/migration/health.ts'
import { moves } from '#shared/contracts/vm/moves.ts'
import { AppError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import { log } from '#shared/runtime/log.ts'
import { type MigrationRecord, migrationRecords, readSettings } from '../model.ts'
import { askHttp, httpFailures } from './http.ts'
import { concludeHealth, judgeGuest, unanswered } from './judge.ts'
import { type Tries, tryChecks } from './tries.ts'

/** The longest times that a guest and the HTTP checks may delay a move. */
const baselineMs = { guest: 30_000, http: 5000 }

const probe = (id: string, timeoutMs: number): Promise<GuestProbe> =>
  call(moves, 'probe', { id }, { isQuestion: true, timeoutMs })

/** Reads the state of a guest before its move; null for one that is not checked afterwards. */
export async function readBaseline(id: string, checks: HttpCheck[]): Promise<Baseline | null> {
  if (!(await readSettings()).health_checks) return null
  const [found, http_failures] = await Promise.all([
    probe(id, baselineMs.guest).catch((error: unknown) => {
      if (error instanceof AppError) return null
      throw error
    }),
    httpFailures(checks, baselineMs.http),
  ])
  return found && { probe: found, http_failures }
}

async function askGuest({ vm_id, is_paused, migration_type }: MigrationRecord, before: GuestProbe, timeoutMs: number) {
  try {
    const after = await probe(vm_id, timeoutMs)
    return judgeGuest({ before, after, isPaused: is_paused, isRestarted: migration_type === 'offline' })
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const isLate = error.status === 503
    return unanswered({ status: isLate ? 'timeout' : 'failed', reason: error.message })
  }
}

/** The migration that moves a guest back, of a migration with a failed check. */
export const moveBackIdOf = (id: string) => idFrom(`${id}/move back`)

/** A guest that moves back is not sent to and fro. */
const isMoveBack = async ({ id }: MigrationRecord) =>
  (await migrationRecords.all({ 'health.move_back.migration_id': id }, 1)).length > 0

/** Checks a guest that has moved, and records the results with their consequence. May be repeated. */
export async function checkHealth(id: string, checks: HttpCheck[], signal: AbortSignal): Promise<null> {
  const migration = await migrationRecords.require(id)
  const { vm_id, baseline } = migration
  if (!baseline) return null
  const settings = await readSettings()
  const tries: Tries = {
    timeoutMs: settings.health_timeout_seconds * 1000,
    tries: settings.health_tries,
    retryMs: settings.health_retry_seconds * 1000,
  }
  const failedBefore = new Map(baseline.http_failures.map(({ url, reason }) => [url, reason]))
  const [guest, ...http] = await Promise.all([
    tryChecks((timeoutMs) => askGuest(migration, baseline.probe, timeoutMs), tries, signal),
    ...checks.map((check) =>
      tryChecks(async (timeoutMs) => [await askHttp(check, timeoutMs, failedBefore.get(check.url))], tries, signal),
    ),
  ])
  const results = [...guest, ...http.flat()]
  const { status, consequence } = concludeHealth(results, settings.health_rollback && !(await isMoveBack(migration)))
  const move_back =
    consequence === 'move_back' ? { migration_id: moveBackIdOf(id), state: 'waiting' as const, error: null } : null
  const health: Health = { status, checks: results, consequence, move_back, checked_at: now() }
  await migrationRecords.change(id, () => ({ set: { health } }))
  if (consequence !== 'none') {
    const bad = results.filter((each) => each.status === 'failed' || each.status === 'timeout')
    log('migrations').warn(
      { vm_id, migration: id, checks: bad.map(({ name }) => name) },
      'a moved guest failed a check',
    )
  }
  return null
}
