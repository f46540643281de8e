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
import { finish, register, undoVolume } from './make.ts'
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

type Wanted = {
  source: VolumeKey
  /** The owner of the source, which must stay so until the copy begins. */
  sourceOwner: string | null
  mode: CloneMode
  target: VolumeSpec
  owner: string | null
  /** On which the copy is made; it reaches both storage pools. */
  node: string
}

/** Everything that stands against a copy of a volume. */
function check(source: VolumeRecord, opened: OpenPool, { pool: id, format }: VolumeSpec, mode: CloneMode): Violation[] {
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
async function copy(op: Op, wanted: Wanted): Promise<Volume> {
  const { source: from, sourceOwner, mode, target, owner, node } = wanted
  const opened = await openPool(target.pool, node)
  const { id } = await findVolume(from.pool, from.name)
  // The record first: from then on the source can neither be deleted nor change its owner.
  const isPinned = mode === 'linked' && opened.driver.capabilitiesOf(opened.config).linked_clones_pinned
  const registered = await register(opened, target, { owner, backing: isPinned ? id : null })
  if (mode === 'linked' && registered.ifExists === 'refuse') await requireRoom(opened, 0)
  const source = await findVolume(from.pool, from.name)
  if (source.used_by !== sourceOwner)
    throw new ConflictError(`Volume '${source.id}' belongs to ${source.used_by} by now`)
  const original = await originalOf(await openPool(from.pool, node), source, opened)
  const { record, ifExists } = registered
  const { config, host } = opened
  const isMade =
    mode === 'full'
      ? await copyFull(op, original, opened, registered)
      : // `check` has seen that the driver can.
        await copiesIn(opened).linked!(host, original, config, target, { ifExists })
  return viewOf(await finish(opened, record, isMade), node)
}

const run = (op: Op, wanted: Wanted): Promise<Volume> =>
  op.step('copying', () => copy(op, wanted), { undo: () => undoVolume(wanted.target, wanted.owner) })

type Given = VolumeKey & { mode: CloneMode; format?: Volume['format'] | undefined; node?: string | undefined }

async function plan(source: VolumeRecord, given: Given, owner: string | null): Promise<Wanted> {
  const { mode, name, pool } = given
  const node = await commonNode(source.pool, pool, given.node)
  const opened = await openPool(pool, node)
  const linkedFormat = opened.driver.capabilitiesOf(opened.config).linked_clone_format
  const format = given.format ?? (mode === 'linked' && linkedFormat ? linkedFormat : source.format)
  const target = { pool, name, format, size_bytes: source.size_bytes }
  const violations = check(source, opened, target, mode)
  if (violations.length > 0) throw new ValidationError(violations)
  return { source: { pool: source.pool, name: source.name }, sourceOwner: source.used_by, mode, target, owner, node }
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
    { id, volume, source_owner, owner, ...given }: Params<typeof volumesInternal, 'cloneFor'>,
    { hold, share },
  ) => {
    await hold(apiPathOf(given.pool, given.name))
    await share(apiPathOf(id, volume))
    return plan(await requireOwned(id, volume, source_owner), given, owner)
  },
  run,
})

export async function measure({ id, volume }: Params<typeof volumesInternal, 'measure'>) {
  const source = await findVolume(id, volume)
  const opened = await openPool(id)
  const { host, volumes } = opened
  const data_bytes = await volumes.copies?.dataBytes(host, await originalOf(opened, source))
  return { data_bytes: data_bytes ?? source.size_bytes }
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
  const readers = sources.flatMap(({ id, used_by, read_by = [] }) =>
    read_by.map((reader) => ({ owner: used_by!, volume: id, clone: reader, used_by: reader })),
  )
  return { data: [...data, ...readers] }
}
