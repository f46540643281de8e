import { call } from '#shared/bus/call.ts'
import { backupStores } from '#shared/contracts/storage/backups.ts'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { every } from '#shared/runtime/repeat.ts'
import { poolRecords } from '../../models.ts'
import { freesAny } from '../store/collect.ts'
import { openStore } from '../store/open-store.ts'
import { DamagedPack } from '../store/pack.ts'
import { hasStore } from '../store/store.ts'
import { once } from './once.ts'

const lookEveryMs = 300_000

/** Does the store of a storage pool have packs whose removal frees bytes? False without a store that can be read. */
async function hasGarbage(pool: string): Promise<boolean> {
  try {
    const objects = await openStore(pool)
    return (await hasStore(objects)) && (await freesAny(objects))
  } catch (error) {
    // A pool of a kind without objects, a store without its key, or a damaged manifest: `get` tells them.
    const isTold = error instanceof DamagedPack || (error instanceof AppError && !(error instanceof UnavailableError))
    if (!isTold) throw error
    return false
  }
}

/** By storage pool the day for which this process has found nothing to free. */
type Looked = Map<string, string>

/**
 * Starts the garbage collection of each backup store that has garbage, once a day, by UTC. A store that is in use is tried
 * again at the next look.
 */
export async function collectDue(looked: Looked = new Map(), nowMs = Date.now()): Promise<void> {
  const day = new Date(nowMs).toISOString().slice(0, 10)
  for (const { id: pool } of await poolRecords.all({ state: 'active' })) {
    if (looked.get(pool) === day) continue
    const operationId = idFrom(`${pool}/collect/${day}`)
    // The store is read only when no replica has collected it today.
    const isDone =
      (await findEntry(operationId)) !== null ||
      !(await hasGarbage(pool)) ||
      (await once(operationId, 'the garbage collection of a backup store', () =>
        call(backupStores, 'collect', { id: pool }, { operationId }),
      )) !== 'refused'
    if (isDone) looked.set(pool, day)
  }
}

export function collectRegularly(): () => void {
  const looked: Looked = new Map()
  return every(lookEveryMs, () => collectDue(looked), {
    part: 'backups',
    failed: 'garbage collections of backup stores were not started',
  })
}
