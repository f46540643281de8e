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
  run: (op, { id }): Promise<Scanned> =>
    op.step('scanning', async () => {
      const opened = await openActivePool(id)
      const { found, skipped } = await opened.volumes.list!(opened.host, opened.config)
      const data: Volume[] = []
      for (const spec of found) {
        if (await volumeRecords.get(volumeId(id, spec.name))) continue
        try {
          data.push(await take(opened, spec))
        } catch (error) {
          if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
          skipped.push({ name: `${spec.name}.${spec.format}`, reason: error.message })
        }
      }
      return { data, skipped }
    }),
})
