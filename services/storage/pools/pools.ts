import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { GivenConfig } from '#shared/contracts/storage/pool-kinds.ts'
import { type Pool, pools } from '#shared/contracts/storage/pools.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { implement } from '#shared/service/implement.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type PoolRecord, poolRecords, volumeRecords } from '../models.ts'
import { nodeFor } from './open-pool.ts'

type Measured = Pick<Pool, 'capacity_bytes' | 'available_bytes' | 'health' | 'health_reason'>

/** Measures a storage pool on a node. One that does not answer is shown as such, with the reason. */
async function measure(pool: PoolRecord): Promise<Measured> {
  try {
    const { host } = await reach(nodeFor(pool))
    return { ...(await driverOf(pool).usage(host, pool.config)), health: 'ok', health_reason: null }
  } catch (error) {
    const health = error instanceof NotFoundError ? 'missing' : 'unreachable'
    return { capacity_bytes: null, available_bytes: null, health, health_reason: (error as Error).message }
  }
}

async function viewOf(pool: PoolRecord): Promise<Pool> {
  const { config, place: _, ...kept } = pool
  const capabilities = driverOf(pool).capabilitiesOf(config)
  return { ...kept, ...config, capabilities, ...(await measure(pool)) }
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

export const poolService = implement(pools, {
  list: async ({ filter, ...query }, { maySee }) => {
    const asked = { ...query, filter: placed(filter, { node: 'nodes' }) }
    const page = await poolRecords.list(asked, maySee)
    return { ...page, data: await Promise.all(page.data.map(viewOf)) }
  },

  get: async ({ id }) => viewOf(await poolRecords.require(id)),

  create: async ({ id = newId(), name = id, type, ...given }) => {
    const driver = driverOf({ type })
    // By the contract's union, the other parameters are the fields of the kind.
    const wanted: GivenConfig = given
    const nodes = driver.nodesOf(wanted)
    const { node, host } = await reach(nodeFor({ id, nodes }))
    const config = await driver.prepare({ host, folders: node }, id, wanted)
    const place = driver.placeOf(config)
    await requireFreePlace(id, place)
    const at = now()
    // The record first: the unique index on the place lets one of two callers create the storage pool.
    const record = await poolRecords.insert({
      id,
      name,
      type,
      config,
      nodes,
      place,
      state: 'active',
      created_at: at,
      updated_at: at,
    })
    try {
      await driver.create(host, config)
    } catch (error) {
      await poolRecords.remove(record)
      throw error
    }
    return viewOf(record)
  },

  activate: async ({ id }) => {
    const pool = await poolRecords.requireForChange(id)
    const { host } = await reach(nodeFor(pool))
    await driverOf(pool).create(host, pool.config)
    return setState(id, 'active')
  },

  deactivate: async ({ id }) => setState(id, 'inactive'),

  delete: async ({ id }) => {
    const pool = await poolRecords.requireForChange(id)
    const held = await volumeRecords.all({ pool: id })
    if (held.length > 0)
      throw new ConflictError(`Storage pool '${id}' still holds ${held.length} volume(s)`, {
        details: { volumes: held.map(({ name }) => name) },
      })
    const { host } = await reach(nodeFor(pool))
    await driverOf(pool).remove(host, pool.config)
    await call(permissions, 'forget', { path: `/api/storage/pools/${id}` })
    await poolRecords.remove(pool)
    return null
  },
})
