import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { GivenConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { type Pool, pools } from '#shared/contracts/storage/pools.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { withSafeFiles } from '#shared/nodes/host/files-by-programs.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { implement } from '#shared/service/implement.ts'
import { keyRecords } from '../backups/keys/model.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type PoolRecord, poolRecords, volumeRecords } from '../models.ts'
import { type Placed, requireIdentity } from './identity.ts'
import { checkFrom } from './check-from.ts'
import { detect } from './detect.ts'
import { fullAt } from './forecast.ts'
import { leave } from './leave.ts'
import { measure } from './measure.ts'
import { nodeFor, place } from './open-pool.ts'
import { orphans } from './orphans.ts'
import { forgetSamples, samplesOf } from './samples.ts'
import { stored } from './pool-config.ts'

async function viewOf(pool: PoolRecord): Promise<Pool> {
  const { config, place: _, identity: _i, sealed: _s, ...kept } = pool
  const capabilities = driverOf(pool).capabilitiesOf(config)
  const [measured, samples] = await Promise.all([measure(pool), samplesOf(pool.id)])
  const fills = measured.fills.map((fill) => ({ ...fill, full_at: fullAt(samples, fill.name, Date.now()) }))
  // `type` and `config` are of one kind, which TypeScript cannot see in two unions.
  return { ...kept, ...config, capabilities, ...measured, fills } as Pool
}

const setState = async (id: string, state: Pool['state']) =>
  viewOf(await poolRecords.change(id, () => ({ set: { state } })))

/** @throws ConflictError for a place that another storage pool has */
async function requireFreePlace(id: string, place: string): Promise<void> {
  const there = await poolRecords.find({ place })
  if (there && there.id !== id)
    throw new ConflictError(`Storage pool '${there.id}' is at ${place} already`, {
      details: { field: 'path', id: there.id, place },
    })
}

/** Records the identity of a storage pool that was created. @throws ConflictError when another record has it */
async function found({ id }: PoolRecord, identity: string): Promise<PoolRecord> {
  const same = (await poolRecords.all({ identity })).find((other) => other.id !== id)
  if (same)
    throw new ConflictError(`This is storage pool '${same.id}' already, reached by another name`, {
      details: { id: same.id },
    })
  return poolRecords.change(id, () => ({ set: { identity } }))
}

/** False when nothing, or something else, is in the place of a storage pool. */
const isInPlace = (placed: Placed): Promise<boolean> =>
  requireIdentity(placed).then(
    () => true,
    (error: unknown) => {
      if (error instanceof NotFoundError || error instanceof ConflictError) return false
      throw error
    },
  )

/** Creates a storage pool again that is gone. @throws the error when it had volumes */
async function createAgain({ pool, driver, host, config }: Placed, missing: NotFoundError): Promise<void> {
  if ((await volumeRecords.all({ pool: pool.id })).length > 0) throw missing
  await found(pool, await driver.create(host, config))
}

/** @throws ConflictError for a storage pool with objects in it, such as backups */
async function requireNoObjects({ pool, driver, host, config }: Placed): Promise<void> {
  const first = await driver.objects?.list(host, config, '', { limit: 1 })
  if (!first || first.objects.length === 0) return
  throw new ConflictError(`Storage pool '${pool.id}' still holds objects, such as '${first.objects[0]!.key}'`)
}

export const poolService = implement(pools, {
  list: async ({ filter, ...query }, { maySee }) => {
    const asked = { ...query, filter: placed(filter, { node: 'nodes' }) }
    const page = await poolRecords.list(asked, maySee)
    return { ...page, data: await Promise.all(page.data.map(viewOf)) }
  },

  get: async ({ id }) => viewOf(await poolRecords.require(id)),
  places: async () => (await poolRecords.all()).map(({ id, nodes, state }) => ({ id, nodes, state })),
  checkFrom: async ({ node }) => checkFrom(node),

  orphans,
  detect,

  create: async ({ id = newId(), name = id, type, ...given }) => {
    const driver = driverOf({ type })
    // By the contract's union, the other parameters are the fields of the kind.
    const wanted: GivenConfig = given
    const nodes = driver.nodesOf(wanted)
    const { node, host: plain } = await reach(nodeFor({ id, nodes }))
    const host = withSafeFiles(plain, `creation ${id} ${node.id}`)
    const config = await driver.prepare({ host, folders: node }, id, wanted)
    const place = driver.placeOf(config)
    await requireFreePlace(id, place)
    const at = now()
    // The record first: the unique index on the place lets one of two callers create the storage pool.
    const record = await poolRecords.insert({
      id,
      name,
      type,
      ...stored(type, config),
      nodes,
      place,
      state: 'active',
      created_at: at,
      updated_at: at,
    })
    try {
      return await viewOf(await found(record, await driver.create(host, config)))
    } catch (error) {
      await driver.deactivate?.(host, config).catch((also: unknown) => log('pools').warn({ err: also, pool: id }))
      await poolRecords.remove(record)
      throw error
    }
  },

  activate: async ({ id }) => {
    const placed = await place(await poolRecords.requireForChange(id))
    await requireIdentity(placed, { activationMs: 30_000 }).catch(async (error: unknown) => {
      if (!(error instanceof NotFoundError)) throw error
      await createAgain(placed, error)
    })
    return setState(id, 'active')
  },

  deactivate: async ({ id }) => {
    const pool = await poolRecords.requireForChange(id)
    await leave(pool)
    return setState(id, 'inactive')
  },

  delete: async ({ id }) => {
    const pool = await poolRecords.requireForChange(id)
    const held = await volumeRecords.all({ pool: id })
    if (held.length > 0)
      throw new ConflictError(`Storage pool '${id}' still holds ${held.length} volume(s)`, {
        details: { volumes: held.map(({ name }) => name) },
      })
    const placed = await place(pool)
    // Nothing of others in its place is removed; one that is gone is fine.
    const isThere = await isInPlace(placed)
    if (isThere) {
      await requireNoObjects(placed)
      await placed.driver.remove(placed.host, placed.config)
    }
    await leave(pool)
    await call(permissions, 'forget', { path: `/api/storage/pools/${id}` })
    await poolRecords.remove(pool)
    await forgetSamples(id)
    // While its place cannot be seen, its store may be there, and is opened when the storage pool is added again.
    if (isThere) await keyRecords.removeWhere({ _id: id })
    return null
  },
})
