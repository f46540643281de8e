import type { Params, Result } from '#shared/contract/contract.ts'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { Volume, volumes as contract } from '#shared/contracts/storage/volumes.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { operation } from '#shared/operation/kinds.ts'
import { requireOneFile } from '../images/backing-files.ts'
import { volumeRecords } from '../models.ts'
import { nodeFor, openActivePool, type OpenPool } from '../pools/open-pool.ts'
import type { VolumeSpec } from '../drivers/driver.ts'
import { insertFound } from './bases.ts'
import { placeOf } from './locate.ts'
import { apiPathOf, viewIn, volumeId } from './records.ts'

type Scanned = Result<typeof contract, 'scan'>

/** Gives one image a record. @throws ConflictError for one that is not a whole disk of its own */
async function take(opened: OpenPool, spec: VolumeSpec): Promise<Volume> {
  const { pool, config, host, volumes } = opened
  const source = await volumes.sourceOn(host, config, spec)
  const same = await placeOf(host, nodeFor(pool), source)
  if (same.is_known) throw new ConflictError(`is the same file as volume ${same.pool}/${same.name}`)
  if (same.used_by !== null) throw new ConflictError(`belongs to ${same.used_by}`)
  const path = pathOfSource(source)
  // Such an image may name any file of the node, which a guest could read through it.
  if (path !== null) await requireOneFile(host, path, spec.format)
  return viewIn(opened, await insertFound({ ...spec, pool: pool.id }, { backing: null, reads: [] }, null))
}

export const scan = operation({
  accept: async ({ id }: Params<typeof contract, 'scan'>, { hold }) => {
    await hold(apiPathOf(id, ''))
    const { volumes } = await openActivePool(id)
    if (!volumes.list) throw new ConflictError(`Storage pool '${id}' has no files that can become volumes`)
    return { id }
  },
  run: async (op, { id }): Promise<Scanned> => {
    const { found, skipped } = await op.step('reading the folder', () => readFolder(id))
    const undo = async () => {
      for (const { name } of found) await volumeRecords.removeWhere({ _id: volumeId(id, name), used_by: null })
    }
    return op.step('recording volumes', () => record(id, found, skipped), { undo })
  },
})

/** The images without a record, and the other files with the reason that they cannot become volumes. */
async function readFolder(id: string): Promise<{ found: VolumeSpec[]; skipped: Scanned['skipped'] }> {
  const { host, config, volumes } = await openActivePool(id)
  // Accepted only where the driver has it.
  const { found, skipped } = await volumes.list!(host, config)
  const known = await Promise.all(found.map(({ name }) => volumeRecords.get(volumeId(id, name))))
  return { found: found.filter((_, index) => known[index] === null), skipped }
}

/** Gives images records. A repetition finds those that it has made before. */
async function record(id: string, found: VolumeSpec[], skipped: Scanned['skipped']): Promise<Scanned> {
  const opened = await openActivePool(id)
  const data: Volume[] = []
  const refused: Scanned['skipped'] = []
  for (const spec of found) {
    try {
      const known = await volumeRecords.get(volumeId(id, spec.name))
      data.push(known ? await viewIn(opened, known) : await take(opened, spec))
    } catch (error) {
      if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
      refused.push({ name: `${spec.name}.${spec.format}`, reason: error.message })
    }
  }
  return { data, skipped: [...skipped, ...refused] }
}
