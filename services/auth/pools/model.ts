import { Type } from 'typebox'
import { strict } from '#shared/contracts/common.ts'
import { type Member, ResourcePool } from '#shared/contracts/resource-pools.ts'
import { collection } from '#shared/db/collection.ts'

const { members: _, ...fields } = ResourcePool.properties

/** Members by `kind:id`, so that one more and one less is one atomic write; `used` is always their sum. */
export const pools = collection(
  'resource_pools',
  strict({ ...fields, members: Type.Unsafe<Record<string, Member>>(Type.Unknown()) }),
  { kind: 'Resource pool', indexes: [{ fields: { name: 1 }, unique: true }] },
)
export type StoredPool = NonNullable<Awaited<ReturnType<typeof pools.get>>>

const folders = {
  vm: '/api/vms',
  container: '/api/containers',
  storage: '/api/storage/pools',
  network: '/api/networks',
} as const

/** The path of the resource that is a member. */
export const memberPath = ({ kind, id }: Pick<Member, 'kind' | 'id'>) => `${folders[kind]}/${encodeURIComponent(id)}`
export const memberKey = ({ kind, id }: Pick<Member, 'kind' | 'id'>) => `${kind}:${id}`
