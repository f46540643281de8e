import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { type Pool, pools } from '#shared/contracts/storage/pools.ts'
import { allowedPath, onNamedPath } from '#shared/nodes/host/allowed-path.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { implement } from '#shared/service/implement.ts'
import { drivers } from '../drivers/drivers.ts'
import { type PoolRecord, poolRecords, volumeRecords } from '../models.ts'

type Measured = Pick<Pool, 'capacity_bytes' | 'available_bytes' | 'health' | 'health_reason'>

/** Asks the node; a pool whose node does not answer is shown all the same. */
async function measure({ type, node, path }: PoolRecord): Promise<Measured> {
  try {
    const { host } = await reach(node)
    return { ...(await drivers[type].usage(host, { path })), health: 'ok', health_reason: null }
  } catch (error) {
    const health = error instanceof NotFoundError ? 'missing' : 'unreachable'
    return { capacity_bytes: null, available_bytes: null, health, health_reason: (error as Error).message }
  }
}

const viewOf = async (pool: PoolRecord): Promise<Pool> => ({
  ...pool,
  capabilities: drivers[pool.type].capabilities,
  ...(await measure(pool)),
})

const setState = async (id: string, state: Pool['state']) =>
  viewOf(await poolRecords.change(id, () => ({ set: { state } })))

export const poolService = implement(pools, {
  list: async (query, { maySee }) => {
    const page = await poolRecords.list(query, maySee)
    return { ...page, data: await Promise.all(page.data.map(viewOf)) }
  },

  get: async ({ id }) => viewOf(await poolRecords.require(id)),

  create: async ({ id = newId(), type, node, name = id, path }) => {
    const { node: where, host } = await reach(node)
    const wanted = path ?? `${where.state_dir}/pools/${id}`
    const real = await allowedPath(host, wanted, where, 'path')
    const at = now()
    const pool = { id, type, node, name, path: real, state: 'active' as const, created_at: at, updated_at: at }
    // The record first: it takes the id and the path, so that of two callers only one makes the folder.
    const record = await poolRecords.insert(pool)
    try {
      await onNamedPath('path', () => drivers[type].create(host, { path: real }))
    } catch (error) {
      await poolRecords.remove(record)
      throw error
    }
    return viewOf(record)
  },

  activate: async ({ id }) => {
    const { type, node, path } = await poolRecords.requireForChange(id)
    const { host } = await reach(node)
    await drivers[type].create(host, { path })
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
    const { host } = await reach(pool.node)
    await drivers[pool.type].remove(host, pool)
    await call(permissions, 'forget', { path: `/api/storage/pools/${id}` })
    await poolRecords.remove(pool)
    return null
  },
})
