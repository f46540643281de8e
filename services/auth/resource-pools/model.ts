import { Type } from 'typebox'
import { strict } from '#shared/contracts/common.ts'
import { type Member, ResourcePool } from '#shared/contracts/access/resource-pools.ts'
import { collection } from '#shared/db/collection.ts'

const { members: _, ...fields } = ResourcePool.properties

/** Privileges on a resource pool of which any one lets a user see it. */
export const seeing = ['PoolAllocate', 'VmAudit', 'ContainerAudit', 'DatastoreAudit', 'NetworkAudit'] as const

/** A reservation: its end, and the operation that holds it. A member without one is permanent. */
export type Reservation = { until: string; by: string }
export type Reserved = Member & { reserved?: Reservation }

/**
 * Checks that a member is permanent. A reservation gives no rights: its id may turn out to be taken by another
 * resource.
 */
export const isForGood = ({ reserved }: Reserved) => reserved === undefined

/**
 * Resource pools. Members are keyed by `kind:id`, so that adding or removing one is one atomic write; `used` is always
 * their sum.
 */
export const pools = collection(
  'resource_pools',
  strict({ ...fields, members: Type.Unsafe<Record<string, Reserved>>(Type.Unknown()) }),
  {
    kind: 'Resource pool',
    resource: {
      path: '/api/resource-pools/{id}',
      sees: seeing.map((privilege) => `${privilege} on /api/resource-pools/{id}` as const),
    },
    indexes: [{ fields: { name: 1 }, unique: true }],
  },
)
export type StoredPool = NonNullable<Awaited<ReturnType<typeof pools.get>>>

const folders = {
  vm: '/api/vms',
  container: '/api/containers',
  storage: '/api/storage/pools',
  network: '/api/networks',
} as const
const kinds = Object.keys(folders) as Member['kind'][]

type Named = Pick<Member, 'kind' | 'id'>

/** The API path of a member. */
export const memberPath = ({ kind, id }: Named) => `${folders[kind]}/${encodeURIComponent(id)}`
export const memberKey = ({ kind, id }: Named) => `${kind}:${id}`

/** The member at a resource path, or null for a kind that resource pools do not collect. */
export function memberAt(path: string): Named | null {
  const [, folder, id] = /^(.+)\/([^/]+)$/.exec(path) ?? []
  const kind = kinds.find((one) => folders[one] === folder)
  return kind && id !== undefined ? { kind, id: decodeURIComponent(id) } : null
}

/** Filter for resource pools with this member. */
export const holding = (member: Named) => ({ [`members.${memberKey(member)}`]: { $exists: true } })
