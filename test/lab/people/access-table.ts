import { propertiesOf } from '#shared/contract/branches.ts'
import { type Action, accessOf, onPath } from '#shared/contract/contract.ts'
import { contracts } from '#shared/contracts/index.ts'
import type { Privilege } from '#shared/access/privileges.ts'

/** The built-in roles as the specification lists them, written down a second time on purpose. */
const everyPrivilege =
  'VmAllocate VmConfig VmPowerMgmt VmSnapshot VmBackup VmAudit VmMigrate VmConsole ContainerAllocate ContainerConfig ContainerPowerMgmt ContainerExec ContainerAudit ContainerPrivileged DatastoreAllocate DatastoreAudit PoolAllocate NetworkModify NetworkAudit SysModify SysAudit UserModify'
const roles = {
  Administrator: everyPrivilege,
  VmAdmin: 'VmAllocate VmConfig VmPowerMgmt VmSnapshot VmBackup VmAudit VmMigrate VmConsole',
  VmUser: 'VmPowerMgmt VmAudit VmConsole',
  StorageAdmin: 'DatastoreAllocate DatastoreAudit PoolAllocate',
  ContainerAdmin:
    'ContainerAllocate ContainerConfig ContainerPowerMgmt ContainerExec ContainerAudit ContainerPrivileged',
  NetworkAdmin: 'NetworkModify NetworkAudit',
  Auditor: 'VmAudit ContainerAudit DatastoreAudit NetworkAudit SysAudit',
} as const
export const roleNames = Object.keys(roles) as (keyof typeof roles)[]
const has = (role: keyof typeof roles, privilege: string) => roles[role].split(' ').includes(privilege)

/** Where a user's grants are; `group`: as `exact`, by a group that inherits from the one that has the grants. */
export const scopes = ['everything', 'exact', 'other', 'group', 'pool', 'other-pool'] as const
export type Scope = (typeof scopes)[number]

/** Values of parameters that name the resource that is asked about, and others; neither is there. */
const names: Record<string, [asked: string, other: string]> = {
  username: ['ghost.user', 'other.user'],
  name: ['GhostRole', 'OtherRole'],
  kind: ['vm', 'vm'],
  resource_pool: ['crew', 'others'],
}
const valueOf = (key: string, which: 0 | 1) => (names[key] ?? ['ghost', 'other'])[which]
const keysOf = (path: string) => [...path.matchAll(/\{(\w+)\}/g)].map(([, key]) => key!)
const filled = (path: string, which: 0 | 1) => path.replaceAll(/\{(\w+)\}/g, (_, key: string) => valueOf(key, which))

/** Members of the pools `crew` and `others`. */
export const membersOf = (which: 0 | 1) => [
  { kind: 'vm', id: valueOf('id', which) },
  { kind: 'storage', id: valueOf('id', which) },
]
const inCrew = ['/api/resource-pools/crew', '/api/vms/ghost', '/api/storage/pools/ghost']

/** One request: a route and its parameters, with or without those that need another privilege. */
export type Row = { name: string; line: string; json?: object; can: string; privilege: Privilege | null; path: string }

function rowOf(name: string, action: Action, can: string): Row {
  const [method, path] = action.rest!.split(' ') as [string, string]
  const needed = can.includes(' on ') ? onPath(can as never) : null
  const inPath = new Set(keysOf(path))
  const rest = keysOf(needed?.path ?? '').filter((key) => !inPath.has(key))
  const given = Object.fromEntries(rest.map((key) => [key, valueOf(key, 0)]))
  // An unknown field: a caller with the right gets 422, and nothing is done.
  const harmless = { ...given, harmless: true }
  const isRead = method === 'GET'
  const query = method === 'DELETE' ? '?harmless=1' : ''
  return {
    name: `${name} (${can})`,
    line: `${method} /api${filled(path, 0)}${query}`,
    ...(!isRead && method !== 'DELETE' && { json: harmless }),
    can,
    privilege: needed?.privilege ?? null,
    path: filled(needed?.path ?? '', 0),
  }
}

/** Every route of every contract; one whose privilege depends on a parameter, once with and once without it. */
export const rows: Row[] = contracts.flatMap((contract) =>
  Object.entries(contract.actions).flatMap(([key, action]) => {
    if (!action.rest) return []
    const withAll = Object.fromEntries(Object.keys(propertiesOf(action.params)).map((name) => [name, '']))
    const ways = new Set([accessOf(action, {}), accessOf(action, withAll)])
    return [...ways].map((can) => rowOf(`${contract.name}.${key}`, action, can))
  }),
)

/** The paths on which a user of this scope has the role. */
export function grantPaths(scope: Scope): string[] {
  const resources = (which: 0 | 1) => [
    ...new Set(
      rows.flatMap(({ can }) =>
        can.includes(' on ') && (which === 0 || can.includes('{')) ? [filled(onPath(can as never).path, which)] : [],
      ),
    ),
  ]
  if (scope === 'everything') return ['/']
  if (scope === 'pool') return ['/api/resource-pools/crew']
  if (scope === 'other-pool') return ['/api/resource-pools/others']
  return resources(scope === 'other' ? 1 : 0)
}

/** The status that the specification wants: 401, 403, or anything that comes after. */
export function verdict({ can, privilege, path }: Row, role: keyof typeof roles | null, scope: Scope): 403 | 'passes' {
  if (can === 'anyone' || can === 'signed-in') return 'passes'
  if (role === null || privilege === null || !has(role, privilege)) return 403
  const isCovered =
    scope === 'everything' || scope === 'exact' || scope === 'group' || (scope === 'pool' && inCrew.includes(path))
  return isCovered ? 'passes' : 403
}
