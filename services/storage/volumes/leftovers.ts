/** Volumes and images that may have been left by operations which have ended; the service of their owners decides. */
import type { Params, Result } from '#shared/contract/contract.ts'
import type { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { AppError, ConflictError } from '#shared/errors.ts'
import { activeStates, statesOf } from '#shared/operation/entries.ts'
import { driverOf } from '../drivers/drivers.ts'
import { poolRecords, volumeRecords } from '../models.ts'
import { openPool } from '../pools/open-pool.ts'

type Owned = Result<typeof volumesInternal, 'owned'>
const atOnce = 500

/** The volumes with an owner, in the order of their ids. */
export async function owned({ after = '' }: Params<typeof volumesInternal, 'owned'>): Promise<Owned> {
  const found = await volumeRecords.all({ _id: { $gt: after }, used_by: { $gt: '' } }, atOnce)
  return {
    // The filter has volumes with an owner only.
    data: found.map(({ id, pool, name, used_by, operation = null }) => ({
      id,
      pool,
      name,
      owner: used_by!,
      operation,
    })),
    next: found.length === atOnce ? found.at(-1)!.id : null,
  }
}

type Unfinished = Result<typeof volumesInternal, 'unfinished'>

/** The images of all storage pools that no operation is making. A pool that does not answer is named instead. */
export async function unfinished(): Promise<Unfinished> {
  const data: Unfinished['data'] = []
  const unreached: Unfinished['unreached'] = []
  const read = async (id: string) => {
    try {
      const { host, config, volumes } = await openPool(id)
      for (const { name, operation } of (await volumes.unfinished?.list(host, config)) ?? [])
        data.push({ pool: id, name, operation })
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      unreached.push({ name: id, reason: error.message })
    }
  }
  // All at once: one that hangs takes some seconds.
  const pools = (await poolRecords.all()).filter((pool) => driverOf(pool).volumes?.unfinished)
  await Promise.all(pools.map(({ id }) => read(id)))
  const states = await statesOf([...new Set(data.map(({ operation }) => operation))])
  const isActive = (operation: string) => activeStates.some((state) => state === states.get(operation))
  return { data: data.filter(({ operation }) => !isActive(operation)), unreached }
}

/** Removes an image that no operation is making. @throws ConflictError when its operation has not ended, or is not known */
export async function removeUnfinished({
  id,
  name,
}: Params<typeof volumesInternal, 'removeUnfinished'>): Promise<null> {
  const { host, config, volumes } = await openPool(id)
  const there = (await volumes.unfinished?.list(host, config))?.find((each) => each.name === name)
  if (!there) return null
  const state = (await statesOf([there.operation])).get(there.operation)
  if (state === undefined || activeStates.some((active) => active === state))
    throw new ConflictError(`The operation of ${name} in storage pool '${id}' has not ended, or is not known`)
  await volumes.unfinished?.remove(host, config, name)
  return null
}
