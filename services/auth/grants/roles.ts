import { type Role, roles as contract } from '#shared/contracts/access/roles.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { alreadyExists, ConflictError, invalid, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { builtInRoles } from '#shared/access/privileges.ts'
import { implement } from '#shared/service/implement.ts'
import { removeGrantsOn } from './remove-grants.ts'
import { grants, roles, users } from '../models.ts'
import { refuseEscalation, requireAdministrator, rightsOfPrivileges } from '../policy/escalation.ts'
import type { Policy } from '../policy/policy.ts'
import { changePolicy } from '../policy/store.ts'

function builtIn(name: string): Role | undefined {
  return Object.hasOwn(builtInRoles, name)
    ? {
        name,
        description: 'Built in',
        privileges: [...builtInRoles[name]!],
        built_in: true,
        created_at: null,
        updated_at: null,
        version: 1,
      }
    : undefined
}

type StoredRole = NonNullable<Awaited<ReturnType<typeof roles.get>>>
const roleView = ({ id, ...role }: StoredRole): Role => ({ name: id, built_in: false, ...role })

/** Requires that a role exists. @throws ValidationError */
export function requireRole(policy: Policy, name: string, field: string): void {
  if (!policy.roles.has(name)) throw invalid(field, `there is no role '${name}'`, 'unknown')
}

/** Violations for roles that do not exist. */
export function unknownRoles(policy: Policy, names: readonly string[], field: string): Violation[] {
  return names
    .filter((name) => !policy.roles.has(name))
    .map((name) => ({ field, code: 'unknown', message: `there is no role '${name}'` }))
}

function refuseBuiltIn(name: string): void {
  if (builtIn(name)) throw new ConflictError(`The role '${name}' is built in and cannot be changed`)
}

/** Actions on roles. Built-in roles come first in the list. */
export const roleActions = implement(contract, {
  list: async (query) => {
    const everything = { all: true, item: () => true }
    const found = await roles.list({ ...query, filter: placed(query.filter, { name: 'id' }) }, everything)
    const isFirstPage = query.cursor === undefined && !query.offset && query.filter === undefined
    const first = isFirstPage ? Object.keys(builtInRoles).map((name) => builtIn(name)!) : []
    const total = found.total + Object.keys(builtInRoles).length
    return { ...found, total, data: [...first, ...found.data.map(roleView)] }
  },

  get: async ({ name }) => builtIn(name) ?? roleView(await roles.require(name)),

  create: async ({ name, description, privileges }, call) => {
    if (builtIn(name)) throw alreadyExists(name)
    const time = now()
    refuseEscalation(call, [{ path: '/', privileges }], `make a role with it`)
    return changePolicy(async () =>
      roleView(await roles.insert({ id: name, description, privileges, created_at: time, updated_at: time })),
    )
  },

  replace: async ({ name, description, privileges }, call) => {
    refuseBuiltIn(name)
    return changePolicy(async (policy) => {
      const before = await roles.requireForChange(name)
      const added = privileges.filter((privilege) => !before.privileges.includes(privilege))
      for (const { role, path } of policy.grants)
        if (role === name)
          refuseEscalation(call, rightsOfPrivileges(policy, added, path), 'put it into the role', { policy })
      const after = { ...policy, roles: new Map([...policy.roles, [name, privileges]]) }
      requireAdministrator(
        after,
        (await users.all({ enabled: true })).map(({ id }) => id),
      )
      return roleView(await roles.change(name, () => ({ set: { description, privileges } })))
    })
  },

  delete: async ({ name }) => {
    refuseBuiltIn(name)
    return changePolicy(async () => {
      const role = await roles.requireForChange(name)
      const used = await grants.all({ role: name })
      if (used.length > 0)
        throw new ConflictError(`The role '${name}' is granted ${used.length} times; remove these grants first`, {
          details: { grants: used.slice(0, 100).map(({ id }) => id) },
        })
      await removeGrantsOn(`/api/roles/${name}`)
      await roles.remove(role)
      return null
    })
  },
})
