import { call } from '#shared/bus/call.ts'
import { isReachedFrom, type Pool, pools } from '#shared/contracts/storage/pools.ts'
import { type CloneMode, volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { alreadyExists, NotFoundError, type Violation } from '#shared/errors.ts'
import type { VmRecord } from '../model.ts'
import { newDeviceId } from '../hardware/devices/named.ts'
import { type Pooled, unreachedMessage, type WantedDisk } from '../hardware/plan.ts'

/** A disk of the source, and its copy in the clone. `isSent`: between nodes of which none reaches both. */
export type ClonedDisk = { source: Pooled; target: WantedDisk; isSent?: true }

/** The answer of a call; undefined for NotFoundError. */
export const unlessMissing = <T>(asked: Promise<T>): Promise<T | undefined> =>
  asked.catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined
    throw error
  })

type Wanted = { id: string; mode: CloneMode; pool: string | undefined; isRunning: boolean }

/** Violations of a storage pool for a copy of a disk; the fields are the request's. */
export function checkPool(
  pool: Pool,
  node: string,
  disk: Pick<Pooled, 'pool' | 'readonly'>,
  { mode, isRunning }: Wanted,
): Violation[] {
  const found: Violation[] = []
  const wrong = (field: string, code: string, message: string) => found.push({ field, code, message })
  const { capabilities } = pool
  if (pool.state !== 'active') wrong('pool', 'inactive', `'${pool.id}' is not active`)
  if (!isReachedFrom(pool, node)) wrong('pool', 'unreachable', unreachedMessage(pool, node))
  if (isRunning && !disk.readonly && !capabilities.live_clones)
    wrong('pool', 'unsupported', `pool '${pool.id}' cannot take the disks of a guest that runs: shut it down first`)
  if (mode === 'linked' && !capabilities.linked_clones)
    wrong('mode', 'unsupported', `pool '${pool.id}' can make no linked clones: clone in full`)
  if (mode === 'linked' && pool.id !== disk.pool)
    wrong('pool', 'unsupported', `a linked clone lies in the pool of its source, '${disk.pool}'`)
  return found
}

/** The format of a copy: a linked clone has the storage pool's, a full one keeps its own where the pool has it. */
function formatIn({ capabilities }: Pool, mode: CloneMode, source: Pick<Pooled, 'format'>): Pooled['format'] {
  if (mode === 'linked') return capabilities.linked_clone_format ?? source.format
  return capabilities.formats.includes(source.format) ? source.format : (capabilities.default_format ?? source.format)
}

/**
 * Plans the disks of a clone, and adds to the violations.
 * @throws ConflictError when one of their volumes is there already
 */
export async function planClonedDisks(
  source: Pick<VmRecord, 'node'> & { disks: Pooled[] },
  clone: Wanted,
  violations: Violation[],
): Promise<ClonedDisk[]> {
  const { id, mode, pool: wanted } = clone
  const ids = [...new Set(source.disks.map(({ pool }) => wanted ?? pool))]
  const found = await Promise.all(
    ids.map(async (pool) => [pool, await unlessMissing(call(pools, 'get', { id: pool }))] as const),
  )
  const known = new Map(found)
  const all: Violation[] = []
  const planned = source.disks.map((disk, index): ClonedDisk => {
    const pool = known.get(wanted ?? disk.pool)
    if (!pool) {
      all.push({ field: 'pool', code: 'not_found', message: `Storage pool '${wanted ?? disk.pool}' not found` })
      return { source: disk, target: disk }
    }
    all.push(...checkPool(pool, source.node, disk, clone))
    const format = formatIn(pool, mode, disk)
    // A copy has no backing files of the source.
    const { reads: _, ...kept } = disk
    return {
      source: disk,
      target: { ...kept, device_id: newDeviceId(), pool: pool.id, volume: `${id}-disk-${index}`, format },
    }
  })
  // Each violation once, for however many disks.
  violations.push(...new Map(all.map((violation) => [`${violation.field} ${violation.message}`, violation])).values())
  if (violations.length === 0) await requireNew(planned)
  return planned
}

async function requireNew(planned: ClonedDisk[]): Promise<void> {
  const asked = planned.map(({ target: { pool: id, volume } }) => unlessMissing(call(volumes, 'get', { id, volume })))
  for (const there of await Promise.all(asked)) if (there) throw alreadyExists(there.id, { field: 'id' })
}

/** Undoes the copy of a disk, unless the volume of that name belongs to another. */
export async function undoDisk({ pool: id, volume }: WantedDisk, owner: string): Promise<void> {
  const there = await unlessMissing(call(volumes, 'get', { id, volume }))
  if (there?.used_by === owner) await call(volumesInternal, 'deleteFor', { id, volume, owner })
}
