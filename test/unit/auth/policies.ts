import fc from 'fast-check'
import type { PolicyChange } from '#shared/contracts/access/permissions.ts'
import { builtInRoles, type Privilege, privileges } from '#shared/access/privileges.ts'
import type { Policy, PolicyGrant } from '../../../services/auth/policy/policy.ts'
import type { World } from '../../../services/auth/what-if/apply.ts'

/** Small worlds in which everything happens: nested groups, pools, conditions, wildcards of each kind. */
export const userNames = ['ann', 'bob', 'cyd', 'dan']
const groupIds = ['g1', 'g2', 'g3', 'g4']
const poolIds = ['p1', 'p2']
const customRoles = ['Custom', 'Other']
export const resources = [
  '/',
  '/api',
  '/api/vms',
  '/api/vms/a',
  '/api/vms/b',
  '/api/vms/a/snapshots',
  '/api/vms/a/snapshots/s1',
  '/api/containers/a',
  '/api/containers/a/exec',
  '/api/storage/pools/a',
  '/api/storage/pools/a/volumes/v',
  '/api/networks/a',
  '/api/resource-pools/p1',
  '/api/resource-pools/p2',
  '/api/users/ann',
]
const members = ['/api/vms/a', '/api/vms/b', '/api/containers/a', '/api/storage/pools/a', '/api/networks/a']
const patterns = [...resources, ...resources.flatMap((path) => (path === '/' ? ['/**'] : [`${path}/*`, `${path}/**`]))]
const role = fc.constantFrom('Administrator', 'VmUser', 'Auditor', 'StorageAdmin', ...customRoles)
const privilegeSet = fc.subarray([...privileges].slice(0, 6))
const subject = fc.oneof(
  fc.constantFrom(...userNames).map((id) => ({ kind: 'user' as const, id })),
  fc.constantFrom(...groupIds).map((id) => ({ kind: 'group' as const, id })),
)
const conditions = fc.record(
  {
    networks: fc.subarray(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32'], { minLength: 1 }),
    expires_at: fc.constantFrom('2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'),
    hours: fc.record({
      timezone: fc.constantFrom('UTC', 'Asia/Tokyo'),
      windows: fc.array(
        fc.record({
          days: fc.subarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }),
          from: fc.constantFrom('00:00', '08:00', '22:00'),
          until: fc.constantFrom('06:00', '18:00', '24:00'),
        }),
        { minLength: 1, maxLength: 2 },
      ),
    }),
  },
  { requiredKeys: [] },
)
const newGrant = fc
  .record({ subject, role, path: fc.constantFrom(...patterns), conditions })
  .map(({ conditions, ...grant }) => ({ ...grant, ...conditions }))

/** Without cycles: a group inherits only from those behind it. */
const groups = fc
  .tuple(
    ...groupIds.map((id, i) =>
      fc.record({ id: fc.constant(id), parents: fc.subarray(groupIds.slice(i + 1)), members: fc.subarray(userNames) }),
    ),
  )
  .map((list) => new Map(list.map((group) => [group.id, group])))
const pools = fc
  .tuple(...poolIds.map((id) => fc.record({ id: fc.constant(id), members: fc.subarray(members) })))
  .map((list) => new Map(list.map((pool) => [pool.id, pool])))

export const worlds: fc.Arbitrary<World> = fc
  .record({
    grants: fc.array(newGrant, { maxLength: 8 }),
    custom: fc.tuple(privilegeSet, privilegeSet),
    groups,
    pools,
    enabled: fc.subarray(userNames, { minLength: 2 }),
  })
  .map(({ grants, custom, groups, pools, enabled }) => {
    const roles = new Map<string, readonly Privilege[]>(Object.entries(builtInRoles))
    customRoles.forEach((name, i) => roles.set(name, custom[i]!))
    const numbered: PolicyGrant[] = grants.map((grant, i) => ({ ...grant, id: `grant${i}` }))
    const policy: Policy = { grants: numbered, roles, groups, pools }
    return { policy, enabled: new Set(enabled) }
  })

const kindOf = { vms: 'vm', containers: 'container', networks: 'network', storage: 'storage' } as const
const memberChange = fc.constantFrom(...members).map((path) => ({
  kind: kindOf[path.split('/')[2] as keyof typeof kindOf],
  id: path.split('/').at(-1)!,
}))

/** Changes that fit a world: what they take away is there. */
export const changesFor = ({ policy }: World): fc.Arbitrary<PolicyChange[]> =>
  fc.uniqueArray(
    fc.oneof(
      newGrant.map((grant) => ({ change: 'grant' as const, ...grant })),
      ...(policy.grants.length > 0
        ? [fc.constantFrom(...policy.grants).map(({ id }) => ({ change: 'revoke' as const, id }))]
        : []),
      fc.record({ change: fc.constant('role' as const), name: fc.constant('Custom'), privileges: privilegeSet }),
      fc.record({
        change: fc.constant('member' as const),
        group: fc.constantFrom(...groupIds),
        user: fc.constantFrom(...userNames),
        is_member: fc.boolean(),
      }),
      fc.record({
        change: fc.constant('parents' as const),
        group: fc.constant('g1'),
        parents: fc.subarray(['g2', 'g3']),
      }),
      fc
        .record({ pool: fc.constantFrom(...poolIds), member: memberChange, is_member: fc.boolean() })
        .map(({ pool, member, is_member }) => ({ change: 'pool_member' as const, pool, ...member, is_member })),
      fc.record({ change: fc.constant('user' as const), user: fc.constantFrom(...userNames), enabled: fc.boolean() }),
    ),
    { minLength: 1, maxLength: 3, selector: (change) => JSON.stringify(change) },
  )
