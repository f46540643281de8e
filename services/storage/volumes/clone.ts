import type { Params } from '#shared/contract/contract.ts'
import { isReachedFrom } from '#shared/contracts/storage/pools.ts'
import type { CloneMode, Volume, volumes } from '#shared/contracts/storage/volumes.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { alreadyExists, ConflictError, invalid, ValidationError, type Violation } from '#shared/errors.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { poolRecords, type VolumeRecord, volumeRecords } from '../models.ts'
import { nodeFor, openPool, type OpenPool } from '../pools/open-pool.ts'
import { requireRoom } from '../pools/room.ts'
import { copiesIn, copyFull, originalOf } from './copy.ts'
import { backingOf, snapshotsIn, takenOf } from '../snapshots/records.ts'
import { finish, register, type Registered, undoVolume } from './make.ts'
import {
  apiPathOf,
  findVolume,
  requireOwned,
  requireUnused,
  viewOf,
  volumeId,
  type VolumeKey,
  type VolumeSpec,
} from './records.ts'

export type Wanted = {
  source: VolumeKey
  /** The owner of the source, which must stay so until the copy begins. */
  sourceOwner: string | null
  /** The snapshot of the source that is copied, instead of its content of now. */
  snapshot?: string | undefined
  mode: CloneMode
  target: VolumeSpec
  owner: string | null
  /** On which the copy is made; it reaches both storage pools. */
  node: string
  bytesPerSecond?: number | undefined
}

/** Everything that stands against a copy of a volume. */
function check(
  source: VolumeRecord,
  opened: OpenPool,
  { pool: id, format }: VolumeSpec,
  { mode, snapshot }: Pick<Given, 'mode' | 'snapshot'>,
): Violation[] {
  const { pool, config, driver, volumes } = opened
  const { formats, linked_clones, linked_clone_format } = driver.capabilitiesOf(config)
  const wrong = (field: string, code: string, message: string): Violation[] => [{ field, code, message }]
  if (pool.state !== 'active') return wrong('pool', 'inactive', `'${id}' is not active`)
  if (!volumes.copies) return wrong('pool', 'unsupported', 'cannot hold copies')
  if (mode === 'full')
    return formats.includes(format)
      ? []
      : wrong('format', 'unsupported', `the storage pool has only ${formats.join(', ')}`)
  if (!linked_clones) return wrong('mode', 'unsupported', 'the storage pool can make no linked clones')
  if (snapshot !== undefined && !volumes.snapshots?.clone)
    return wrong('mode', 'unsupported', 'the storage pool can make no linked clones of snapshots')
  if (source.pool !== id) return wrong('pool', 'unsupported', 'a linked clone lies in the storage pool of its source')
  return format === linked_clone_format
    ? []
    : wrong('format', 'unsupported', `linked clones in this storage pool are ${linked_clone_format}`)
}

/** A node that reaches two storage pools. @throws ValidationError */
async function commonNode(sourcePool: string, targetPool: string, wanted?: string): Promise<string> {
  const from = await poolRecords.require(sourcePool)
  const to = await poolRecords.get(targetPool)
  if (!to) throw invalid('pool', `Storage pool '${targetPool}' not found`, 'not_found')
  const candidates = wanted === undefined ? (from.nodes ?? to.nodes ?? [nodeFor(from)]) : [wanted]
  const node = candidates.find((each) => isReachedFrom(from, each) && isReachedFrom(to, each))
  if (node !== undefined) return node
  const named = ({ nodes }: typeof to) => nodes?.map((each) => `'${each}'`).join(', ') ?? 'every node'
  throw invalid('pool', `is on node ${named(to)}, the source on ${named(from)}`, 'unreachable')
}

/** Copies the bytes. @throws ConflictError when the source or the clone is taken away meanwhile */
export async function copy(op: Op, wanted: Wanted): Promise<Volume> {
  const { source: from, sourceOwner, snapshot, mode, target, owner, node } = wanted
  const opened = await openPool(target.pool, node)
  const { id } = await findVolume(from.pool, from.name)
  // The record first: from then on the source can neither be deleted nor change its owner.
  const isPinned = mode === 'linked' && opened.driver.capabilitiesOf(opened.config).linked_clones_pinned
  const base = snapshot === undefined ? id : backingOf(id, snapshot)
  const registered = await register(opened, target, { owner, backing: isPinned ? base : null })
  if (mode === 'linked' && registered.ifExists === 'refuse') await requireRoom(opened, 0)
  const source = await findVolume(from.pool, from.name)
  if (source.used_by !== sourceOwner)
    throw new ConflictError(`Volume '${source.id}' belongs to ${source.used_by} by now`)
  const isMade = await (mode === 'full' ? full : link)(op, wanted, source, opened, registered)
  return viewOf(await finish(opened, registered.record, isMade), node)
}

type Copying = (
  op: Op,
  wanted: Wanted,
  source: VolumeRecord,
  opened: OpenPool,
  registered: Registered,
) => Promise<boolean>

const full: Copying = async (op, { snapshot, node, bytesPerSecond }, source, opened, registered) => {
  const content = await contentOf(await openPool(source.pool, node), source, snapshot, opened)
  return copyFull(op, content, opened, registered, bytesPerSecond)
}

/** Makes a linked clone. `check` has seen that the driver can. */
const link: Copying = async (_op, { snapshot, target }, source, opened, { ifExists }) => {
  const { config, host } = opened
  if (snapshot === undefined)
    return copiesIn(opened).linked!(host, await originalOf(opened, source, opened), config, target, { ifExists })
  const from = { volume: source, snapshot: (await takenOf(source, snapshot)).taken }
  return snapshotsIn(opened).clone!(host, config, from, target, { ifExists })
}

/** The content of a volume, or of a snapshot of it, as an image to copy from. */
export async function contentOf(
  opened: OpenPool,
  source: VolumeRecord,
  snapshot: string | undefined,
  target?: OpenPool,
) {
  if (snapshot === undefined) return originalOf(opened, source, target)
  const { taken } = await takenOf(source, snapshot)
  return snapshotsIn(opened).original(opened.host, opened.config, source, taken)
}

const run = (op: Op, wanted: Wanted): Promise<Volume> =>
  op.step('copying', () => copy(op, wanted), { undo: () => undoVolume(wanted.target, wanted.owner) })

type Given = VolumeKey & {
  mode: CloneMode
  snapshot?: string | undefined
  format?: Volume['format'] | undefined
  node?: string | undefined
}

export async function plan(source: VolumeRecord, given: Given, owner: string | null): Promise<Wanted> {
  const { mode, name, pool, snapshot } = given
  const node = await commonNode(source.pool, pool, given.node)
  const opened = await openPool(pool, node)
  const linkedFormat = opened.driver.capabilitiesOf(opened.config).linked_clone_format
  const format = given.format ?? (mode === 'linked' && linkedFormat ? linkedFormat : source.format)
  const { size_bytes } = snapshot === undefined ? source : await takenOf(source, snapshot)
  const target = { pool, name, format, size_bytes }
  const violations = check(source, opened, target, given)
  if (violations.length > 0) throw new ValidationError(violations)
  const from = { pool: source.pool, name: source.name }
  return { source: from, sourceOwner: source.used_by, snapshot, mode, target, owner, node }
}

export const clone = operation({
  accept: async ({ id, volume, pool = id, ...given }: Params<typeof volumes, 'clone'>, accepting) => {
    const { hold, share } = accepting
    requireRight(accepting, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(pool)}`)
    await hold(apiPathOf(pool, given.name))
    await share(apiPathOf(id, volume))
    const wanted = await plan(await requireUnused(id, volume), { ...given, pool }, null)
    if (await volumeRecords.get(volumeId(pool, given.name))) throw alreadyExists(given.name, { field: 'name' })
    return wanted
  },
  run,
})

export const cloneFor = operation({
  accept: async (
    { id, volume, source_owner, owner, bytes_per_second, ...given }: Params<typeof volumesInternal, 'cloneFor'>,
    { hold, share },
  ) => {
    await hold(apiPathOf(given.pool, given.name))
    await share(apiPathOf(id, volume))
    const wanted = await plan(await requireOwned(id, volume, source_owner), given, owner)
    return { ...wanted, ...(bytes_per_second !== undefined && { bytesPerSecond: bytes_per_second }) }
  },
  run,
})

export async function measure({ id, volume, snapshot }: Params<typeof volumesInternal, 'measure'>) {
  const source = await findVolume(id, volume)
  const opened = await openPool(id)
  const { host, volumes } = opened
  const data_bytes = await volumes.copies?.dataBytes(host, await contentOf(opened, source, snapshot))
  return { data_bytes: data_bytes ?? source.size_bytes }
}

export async function clonesOf({ owners }: Params<typeof volumesInternal, 'clonesOf'>) {
  const sources = await volumeRecords.all({ used_by: { $in: owners } })
  const ownerOf = new Map(sources.map(({ id, used_by }) => [id, used_by]))
  const snapshots = sources.flatMap(({ id, snapshots: taken = [] }) =>
    taken.map((each) => [backingOf(id, each.id), { volume: id, snapshot: each.id }] as const),
  )
  const bases = new Map<string, { volume: string; snapshot: string | null }>([
    ...sources.map(({ id }) => [id, { volume: id, snapshot: null }] as const),
    ...snapshots,
  ])
  const clones = await volumeRecords.all({ backing: { $in: [...bases.keys()] } })
  const data = clones.map(({ id, backing, used_by }) => {
    // Every backing that was found is one of the bases, whose volumes have owners.
    const base = bases.get(backing!)!
    return { owner: ownerOf.get(base.volume)!, ...base, clone: id, used_by }
  })
  const readers = sources.flatMap(({ id, used_by, read_by = [] }) =>
    read_by.map((reader) => ({ owner: used_by!, volume: id, snapshot: null, clone: reader, used_by: reader })),
  )
  return { data: [...data, ...readers] }
}
