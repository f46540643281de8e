import { Type } from 'typebox'
import { strict } from '#shared/contracts/common.ts'
import { type Member, ResourcePool } from '#shared/contracts/access/resource-pools.ts'
import { collection } from '#shared/db/collection.ts'

const { members: _, ...fields } = ResourcePool.properties

/** How long a member is only reserved, and by which operation; without it, it is a member for good. */
export type Reservation = { until: string; by: string }
export type Reserved = Member & { reserved?: Reservation }

/** What is only reserved gives nobody a right: its id may turn out to be that of something that is another's. */
export const isForGood = ({ reserved }: Reserved) => reserved === undefined

/** Members by `kind:id`, so that one more and one less is one atomic write; `used` is always their sum. */
export const pools = collection(
  'resource_pools',
  strict({ ...fields, members: Type.Unsafe<Record<string, Reserved>>(Type.Unknown()) }),
  { kind: 'Resource pool', indexes: [{ fields: { name: 1 }, unique: true }] },
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

/** The path of the resource that is a member. */
export const memberPath = ({ kind, id }: Named) => `${folders[kind]}/${encodeURIComponent(id)}`
export const memberKey = ({ kind, id }: Named) => `${kind}:${id}`

/** The member that a resource's path would be, or null when it is none of a kind that pools collect. */
export function memberAt(path: string): Named | null {
  const [, folder, id] = /^(.+)\/([^/]+)$/.exec(path) ?? []
  const kind = kinds.find((one) => folders[one] === folder)
  return kind && id !== undefined ? { kind, id: decodeURIComponent(id) } : null
}

/** Finds the pools that have this member. */
export const holding = (member: Named) => ({ [`members.${memberKey(member)}`]: { $exists: true } })
