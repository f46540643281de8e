import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { type Network, networks } from '#shared/contracts/container/networks.ts'
import { ConflictError, ValidationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { implement } from '#shared/service/implement.ts'
import { attach, detach, networkPathOf } from './attach.ts'
import { attachmentRecords, type NetworkRecord, networkRecords, viewOfAttachment } from './models.ts'
import { bridgeOf, violationsOfNetwork } from './plan.ts'
import { versionFor } from './plugins.ts'
import { removeNetwork } from './settle.ts'

const bridgeNameOf = ({ id, type }: Pick<NetworkRecord, 'id' | 'type'>) => (type === 'bridge' ? bridgeOf(id) : null)

async function viewOf(network: NetworkRecord): Promise<Network> {
  const attachments = await attachmentRecords.all({ network: network.id })
  return { ...network, bridge: bridgeNameOf(network), attachments: attachments.map(viewOfAttachment) }
}

/** A network whose resource pool cannot take it is not made. */
async function putIntoPool(network: NetworkRecord, pool: string): Promise<void> {
  try {
    await call(resourcePools, 'reserve', { pool, kind: 'network', id: network.id, cpus: 0, memory: 0, disk: 0 })
  } catch (error) {
    await networkRecords.remove(network)
    throw error
  }
}

export const networkService = implement(networks, {
  list: async (query, { maySee }) => {
    const page = await networkRecords.list(query, maySee)
    return { ...page, data: await Promise.all(page.data.map(viewOf)) }
  },
  get: async ({ id }) => viewOf(await networkRecords.require(id)),

  create: async ({ id = newId(), node, resource_pool: pool, ...spec }) => {
    const { host } = await reach(node)
    const found = violationsOfNetwork(spec, await networkRecords.all({ node }))
    if (spec.parent && (await host.run('ip', ['link', 'show', 'dev', spec.parent])).code !== 0)
      found.push({ field: 'parent', code: 'invalid', message: `is no interface of node '${node}'` })
    if (found.length > 0) throw new ValidationError(found)
    await versionFor(host, [spec.type, 'host-local', 'portmap'])
    const at = now()
    const made = await networkRecords.insert({ id, node, ...spec, created_at: at, updated_at: at })
    if (pool !== undefined) await putIntoPool(made, pool)
    return viewOf(made)
  },

  delete: async ({ id }) => {
    const network = await networkRecords.requireForChange(id)
    const held = await attachmentRecords.all({ network: id })
    if (held.length > 0)
      throw new ConflictError(`Network '${id}' still has ${held.length} attachment(s)`, {
        details: { containers: held.map(({ container }) => container) },
      })
    await removeNetwork(network, bridgeNameOf(network))
    await call(permissions, 'forget', { path: networkPathOf(id) })
    await call(resourcePools, 'release', { kind: 'network', member: id })
    await networkRecords.remove(network)
    return null
  },

  attach,
  detach,
})
