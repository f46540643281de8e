import {
  type Footprint,
  resourcePools,
  type Limits,
  type Member,
  type ResourcePool,
} from '#shared/contracts/access/resource-pools.ts'
import { NotFoundError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Privilege } from '#shared/access/privileges.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { implement } from '#shared/service/implement.ts'
import { removeGrantsOn } from '../grants/remove-grants.ts'
import { refuseEscalation, rightsOfRole } from '../policy/escalation.ts'
import { matches, parsePattern } from '../policy/patterns.ts'
import type { Policy } from '../policy/policy.ts'
import { changePolicy, policyChanged } from '../policy/store.ts'
import { cancelReservation, count, discount, discountEverywhere, recount } from './account.ts'
import { footprintOf } from './footprint.ts'
import { memberPath, pools, type Reserved, seeing, type StoredPool } from './model.ts'

const pathOf = (id: string) => `/api/resource-pools/${id}`

function poolView(pool: StoredPool): ResourcePool {
  return {
    ...pool,
    // Resource pools of earlier versions have none.
    labels: pool.labels ?? {},
    members: Object.entries(pool.members)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { reserved: _, ...member }]) => member),
  }
}

const maySee = ({ rights }: Call, id: string) => seeing.some((privilege) => rights.allows(privilege, pathOf(id)))

type Given = { [K in keyof Limits]?: Limits[K] | undefined }
function limitsOf(given: Given = {}): Limits {
  return {
    cpus: given.cpus ?? null,
    memory: given.memory ?? null,
    disk: given.disk ?? null,
    instances: given.instances ?? null,
  }
}

/** Privilege needed on a resource to add it to a resource pool, whose members show name and amounts. */
const sight: Record<Member['kind'], Privilege> = {
  vm: 'VmAudit',
  container: 'ContainerAudit',
  storage: 'DatastoreAudit',
  network: 'NetworkAudit',
}

/** Refuses to add a resource unless the caller has all rights that the users of the resource pool will get on it. */
function refuseTakeover(policy: Policy, call: Call, id: string, member: Pick<Member, 'kind' | 'id'>): void {
  const path = `${memberPath(member)}/**`
  const parts = ['api', 'resource-pools', id]
  const onPool = policy.grants.filter((grant) => grant.path !== '/' && matches(parsePattern(grant.path), parts))
  const given = onPool.flatMap(({ role }) => rightsOfRole(policy, role, path))
  refuseEscalation(call, given, `put it into the pool '${id}', whose users would have it`, { policy })
}

/** Counts a resource with its current amounts, and again if it changes or goes during the count. */
async function takeIn(
  poolId: string,
  member: Pick<Member, 'kind' | 'id'>,
  begin: (seen: Footprint) => Promise<unknown>,
): Promise<void> {
  let seen = await footprintOf(member)
  await begin(seen)
  for (; ; await count(poolId, { ...member, ...seen })) {
    const again = await footprintOf(member).catch(async (error: unknown) => {
      if (error instanceof NotFoundError && (await discount(poolId, member))) await policyChanged()
      throw error
    })
    if (again.cpus === seen.cpus && again.memory === seen.memory && again.disk === seen.disk) return
    seen = again
  }
}

/** Actions on resource pools: collections of resources with common limits. */
export const poolActions = implement(resourcePools, {
  list: async (query, call) => {
    const found = await pools.list(query, { all: false, item: (id) => maySee(call, id) })
    return { ...found, data: found.data.map(poolView) }
  },

  get: async ({ id }, call) => {
    if (!maySee(call, id)) throw notFound('Resource pool', id)
    return poolView(await pools.require(id))
  },

  create: async ({ id = newId(), name, description, labels = {}, limits }) => {
    const time = now()
    const empty = {
      used: { cpus: 0, memory: 0, disk: 0, instances: 0 },
      members: {},
      created_at: time,
      updated_at: time,
    }
    const made = await pools.insert({ id, name, description, labels, limits: limitsOf(limits), ...empty })
    await policyChanged()
    return poolView(made)
  },

  replace: async ({ id, name, description, labels = {}, limits }) =>
    poolView(await pools.change(id, () => ({ set: { name, description, labels, limits: limitsOf(limits) } }))),

  delete: async ({ id }) =>
    changePolicy(async () => {
      const pool = await pools.requireForChange(id)
      await removeGrantsOn(pathOf(id))
      await pools.remove(pool)
      return null
    }),

  putMember: async ({ id, kind, member }, call) => {
    await pools.requireForChange(id)
    const resource = { kind, id: member }
    requireRight(call, sight[kind], memberPath(resource))
    await takeIn(id, resource, (seen) =>
      // Under the policy lease: no grant on the resource pool can be added between the check and the new member.
      changePolicy(async (policy) => {
        refuseTakeover(policy, call, id, resource)
        await count(id, { ...resource, ...seen })
      }),
    )
    return poolView(await pools.require(id))
  },

  removeMember: async ({ id, kind, member }) => {
    await pools.requireForChange(id)
    if (!(await discount(id, { kind, id: member }))) throw notFound('Member', `${kind}/${member}`)
    await policyChanged()
    return null
  },

  reserve: async ({ pool, ...member }) => {
    // The parameters are validated, so a missing optional field is absent, not undefined.
    await count(pool, member as Reserved)
    if (!member.reserved) await policyChanged()
    return null
  },

  cancel: async ({ pool, kind, id, by }) => {
    await cancelReservation(pool, { kind, id }, by)
    return null
  },

  recount: async (member) => {
    await recount(member)
    return null
  },

  release: async ({ kind, member }) => {
    if (await discountEverywhere({ kind, id: member })) await policyChanged()
    return null
  },
})
