import { requireRight } from '#shared/access/require-right.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Volume, volumes } from '#shared/contracts/storage/volumes.ts'
import { alreadyExists, ConflictError, notFound } from '#shared/errors.ts'
import { secretFiles } from '#shared/nodes/host/secret-files.ts'
import { operation } from '#shared/operation/kinds.ts'
import { differenceOf } from '../images/compare.ts'
import { fileOfOriginal } from '../images/images.ts'
import { volumeRecords } from '../models.ts'
import { openPool } from '../pools/open-pool.ts'
import { copy, plan, type Wanted } from './clone.ts'
import { originalOf } from './copy.ts'
import { deleteVolume, markDeleting, undoVolume, unmarkDeleting } from './make.ts'
import {
  apiPathOf,
  findVolume,
  requireNoClones,
  requireNoSnapshots,
  requireUnused,
  viewOf,
  volumeId,
} from './records.ts'

/** Compares a volume with its copy, byte by byte. @throws ConflictError when they differ */
async function compare({ source, target, node }: Wanted): Promise<void> {
  const id = volumeId(source.pool, source.name)
  // It is marked as being deleted, so that no VM can take it by now.
  const from = await volumeRecords.get(id)
  if (!from) throw notFound('Volume', id)
  const to = await findVolume(target.pool, target.name)
  const [there, here] = [await openPool(source.pool, node), await openPool(target.pool, node)]
  const one = fileOfOriginal(await originalOf(there, from, undefined, secretFiles[0]))
  const other = fileOfOriginal(await originalOf(here, to, undefined, secretFiles[1]))
  const difference = await differenceOf(here.host, one, other, { isOpen: false, timeoutMs: Infinity })
  if (difference === null && from.size_bytes === to.size_bytes) return
  throw new ConflictError(
    `Volume '${to.id}' is not the same as '${id}': ${difference ?? `${to.size_bytes} bytes, not ${from.size_bytes}`}`,
  )
}

/** Moves a volume that belongs to no VM. Its source goes when the copy was compared, and nothing can write to it before. */
export const move = operation({
  accept: async (
    { id, volume, pool, name = volume, ...given }: Params<typeof volumes, 'move'>,
    accepting,
  ): Promise<Wanted> => {
    requireRight(accepting, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(pool)}`)
    await accepting.hold(apiPathOf(id, volume), apiPathOf(pool, name))
    const record = await requireUnused(id, volume)
    await requireNoClones(record.id, 'be moved')
    requireNoSnapshots(record, 'be moved')
    if (await volumeRecords.get(volumeId(pool, name))) throw alreadyExists(name, { field: 'name' })
    return plan(record, { ...given, mode: 'full', pool, name }, null)
  },
  run: async (op, wanted): Promise<Volume> => {
    const { source, target } = wanted
    await op.step('copying', () => copy(op, wanted), { undo: () => undoVolume(target, null) })
    await op.step('taking away', async () => void (await markDeleting(source, null)), {
      undo: () => unmarkDeleting(source),
    })
    await op.step('comparing', () => compare(wanted))
    await op.commit()
    await op.step('deleting source', () => deleteVolume(source, null))
    return viewOf(await findVolume(target.pool, target.name))
  },
})
