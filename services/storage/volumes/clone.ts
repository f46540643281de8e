import type { CloneMode, Volume, volumes } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Params } from '#shared/contract/contract.ts'
import {
  alreadyExists,
  ConflictError,
  invalid,
  NotFoundError,
  ValidationError,
  type Violation,
} from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { requireRight } from '#shared/access/require-right.ts'
import type { Again, Origin } from '../drivers/driver.ts'
import { volumeRecords } from '../models.ts'
import {
  deleteBytes,
  findVolume,
  finished,
  notOurs,
  pathOf,
  place,
  requireFree,
  requireOwned,
  volumeId,
} from './volume.ts'

type Wanted = {
  source: Pick<Volume, 'pool' | 'name'>
  /** Whose the source is to be while it is copied. */
  sourceOwner: string | null
  mode: CloneMode
  target: Pick<Volume, 'pool' | 'name' | 'format' | 'size_bytes'>
  owner: string | null
}

/** What is wrong with copying a volume so, all of it. */
async function check(source: Volume, { pool, format }: Wanted['target'], mode: CloneMode): Promise<Violation[]> {
  const { pool: there, driver } = await place(pool)
  const { capabilities } = driver
  const wrong = (field: string, code: string, message: string): Violation[] => [{ field, code, message }]
  if (there.state !== 'active') return wrong('pool', 'inactive', `'${pool}' is not active`)
  if (there.node !== source.node && !capabilities.shared)
    return wrong('pool', 'unreachable', `is on node '${there.node}', the source on '${source.node}'`)
  if (!driver.clone) return wrong('pool', 'unsupported', 'cannot hold copies')
  if (mode === 'full')
    return capabilities.formats.includes(format)
      ? []
      : wrong('format', 'unsupported', `the pool has only ${capabilities.formats.join(', ')}`)
  if (!capabilities.linked_clones) return wrong('mode', 'unsupported', 'the pool can make no linked clones')
  if (source.pool !== pool) return wrong('pool', 'unsupported', 'a linked clone lies in the pool of its source')
  return format === capabilities.linked_clone_format
    ? []
    : wrong('format', 'unsupported', `linked clones in this pool are ${capabilities.linked_clone_format}`)
}

type Registered = Again & { record: Volume }

/** The volume of the clone, written down; whoever is called `again` for the same owner finds it. */
export async function register(
  target: Wanted['target'],
  { owner, backing }: Pick<Volume, 'backing'> & { owner: string | null },
): Promise<Registered> {
  const { pool, host, driver } = await place(target.pool)
  const id = volumeId(target.pool, target.name)
  const known = await volumeRecords.get(id)
  if (known && !known.deleting && known.used_by === owner && known.backing === backing)
    return { record: known, again: true }
  if (known) throw alreadyExists(id)
  const path = driver.pathOf(pool, target)
  if (await host.stat(path)) throw notOurs(path)
  const at = now()
  const record = { ...target, id, node: pool.node, path, used_by: owner, backing, created_at: at, updated_at: at }
  return { record: await volumeRecords.insert(record), again: false }
}

/** @throws ConflictError when a pool has not so many bytes left */
export async function requireSpace(poolId: string, needed_bytes: number): Promise<void> {
  const { pool, host, driver } = await place(poolId)
  const { available_bytes } = await driver.usage(host, pool)
  if (needed_bytes <= available_bytes) return
  throw new ConflictError(`Pool '${poolId}' has ${available_bytes} bytes left; the copy takes ${needed_bytes}`, {
    details: { available_bytes, needed_bytes },
  })
}

/** Copies the bytes. @throws ConflictError when the source or the clone is taken away meanwhile */
async function copy(op: Op, wanted: Wanted): Promise<Volume> {
  const { source: from, sourceOwner, mode, target, owner } = wanted
  const { id } = await findVolume(from.pool, from.name)
  // Written down first: from then on its source can neither be deleted nor change hands.
  const { record, again } = await register(target, { owner, backing: mode === 'linked' ? id : null })
  const source = await findVolume(from.pool, from.name)
  if (source.used_by !== sourceOwner)
    throw new ConflictError(`Volume '${source.id}' belongs to ${source.used_by} by now`)
  const { pool, host, driver } = await place(target.pool)
  if (mode === 'full') return finished(record, await copyFull(op, source, { record, again }))
  // `check` has seen that it can.
  return finished(record, await driver.clone!.linked!(host, source, pool, target, { again }))
}

/** Copies an image into a volume that is written down, and tells how far it is. @returns as the driver's `full` */
export async function copyFull(op: Op, source: Origin, { record, again }: Registered): Promise<boolean> {
  const { pool, host, driver } = await place(record.pool)
  // Whoever asked for the copy has seen that the driver can.
  const { full, dataBytes } = driver.clone!
  const total = await dataBytes(host, source)
  if (!(await host.stat(record.path))) await requireSpace(pool.id, total)
  op.progress(0, total, 'bytes')
  const onProgress = (done: number) => op.progress(done, total, 'bytes')
  const isMade = await full(host, source, pool, record, { signal: op.signal, onProgress, again })
  op.progress(total, total, 'bytes')
  return isMade
}

const run = (op: Op, wanted: Wanted): Promise<Volume> =>
  op.step('copying', () => copy(op, wanted), { undo: () => takeBack(wanted.target, wanted.owner) })

/** Removes what was made, unless the volume of that name turned out to be another's. */
export async function takeBack({ pool, name }: Pick<Volume, 'pool' | 'name'>, owner: string | null): Promise<void> {
  const there = await volumeRecords.get(volumeId(pool, name))
  if (there?.used_by === owner) await deleteBytes(pool, name, owner)
}

type Given = Pick<Params<typeof volumesInternal, 'cloneFor'>, 'mode' | 'name' | 'pool'> & { format?: Volume['format'] }

async function plan(source: Volume, given: Given, owner: string | null): Promise<Wanted> {
  const { mode, name, pool } = given
  const { driver } = await place(pool).catch((error: unknown) => {
    throw error instanceof NotFoundError ? invalid('pool', error.message, 'not_found') : error
  })
  const linkedFormat = driver.capabilities.linked_clone_format
  const format = given.format ?? (mode === 'linked' && linkedFormat ? linkedFormat : source.format)
  const target = { pool, name, format, size_bytes: source.size_bytes }
  const violations = await check(source, target, mode)
  if (violations.length > 0) throw new ValidationError(violations)
  return { source: { pool: source.pool, name: source.name }, sourceOwner: source.used_by, mode, target, owner }
}

export const clone = operation({
  accept: async ({ id, volume, pool = id, ...given }: Params<typeof volumes, 'clone'>, accepting) => {
    const { hold, share } = accepting
    requireRight(accepting, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(pool)}`)
    await hold(pathOf(pool, given.name))
    await share(pathOf(id, volume))
    const wanted = await plan(await requireFree(id, volume), { ...given, pool }, null)
    if (await volumeRecords.get(volumeId(pool, given.name))) throw alreadyExists(given.name, { field: 'name' })
    return wanted
  },
  run,
})

export const cloneFor = operation({
  accept: async (
    { id, volume, source_owner, owner, ...given }: Params<typeof volumesInternal, 'cloneFor'>,
    { hold, share },
  ) => {
    await hold(pathOf(given.pool, given.name))
    await share(pathOf(id, volume))
    return plan(await requireOwned(id, volume, source_owner), given, owner)
  },
  run,
})

export async function measure({
  id,
  volume,
}: Params<typeof volumesInternal, 'measure'>): Promise<{ data_bytes: number }> {
  const source = await findVolume(id, volume)
  const { host, driver } = await place(id)
  return { data_bytes: driver.clone ? await driver.clone.dataBytes(host, source) : source.size_bytes }
}

export async function clonesOf({ owners }: Params<typeof volumesInternal, 'clonesOf'>) {
  const sources = await volumeRecords.all({ used_by: { $in: owners } })
  const ownerOf = new Map(sources.map(({ id, used_by }) => [id, used_by]))
  const clones = await volumeRecords.all({ backing: { $in: [...ownerOf.keys()] } })
  const data = clones.map(({ id, backing, used_by }) => ({
    // Every backing volume that was found is one of the sources, which have owners.
    owner: ownerOf.get(backing!)!,
    volume: backing!,
    clone: id,
    used_by,
  }))
  return { data }
}
