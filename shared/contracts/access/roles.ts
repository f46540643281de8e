import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, ListQuery, Page, record, strict, Time, Version } from '#shared/contracts/common.ts'
import { privileges } from '#shared/access/privileges.ts'

export const RoleName = Type.String({
  examples: ['VmUser'],
  pattern: '^[A-Za-z][A-Za-z0-9_-]{1,63}$',
  description: 'A letter, then letters, digits, _ and -; 2 to 64',
  errorMessage: 'must be 2 to 64 letters, digits, _ and -, and begin with a letter',
})
export const PrivilegeName = Type.Enum([...privileges])

/** Path pattern of a grant. A wildcard stands only at the end. */
export const GrantPath = Type.String({
  maxLength: 1024,
  examples: ['/api/vms/*'],
  pattern: '^/$|^/\\*\\*$|^/api(/v1)?(/[A-Za-z0-9._~%:@+-]+)*(/\\*\\*?)?$',
  description:
    '/ is everything; /api/vms/* the collection and what is directly in it; /api/vms/** any depth; else exactly this path',
  errorMessage: 'must be /, or a path below /api, which may end in /* (one level) or /** (any depth)',
})

export const Role = record('name built_in description')({
  name: RoleName,
  description: Type.String({ maxLength: 1000 }),
  privileges: Type.Array(PrivilegeName),
  built_in: Type.Boolean({ description: 'Built-in roles cannot be changed' }),
  created_at: Type.Union([Time, Type.Null()]),
  updated_at: Type.Union([Time, Type.Null()]),
  version: Version,
})
export type Role = Static<typeof Role>

const ByName = strict({ name: RoleName })
const Given = {
  description: Type.String({ maxLength: 1000, default: '' }),
  privileges: Type.Array(PrivilegeName, { minItems: 1, maxItems: privileges.length, uniqueItems: true }),
}

export const roles = contract('roles', {
  list: {
    does: 'List the roles',
    rest: 'GET /roles',
    can: 'signed-in',
    params: ListQuery('name', 'id'),
    result: Page(Role),
  },
  get: { does: 'Get a role', rest: 'GET /roles/{name}', can: 'signed-in', params: ByName, result: Role },
  create: {
    does: 'Create a role',
    rest: 'POST /roles',
    can: 'UserModify on /api/roles',
    audit: 'policy_changed',
    status: 201,
    params: strict({ name: RoleName, ...Given }),
    result: Role,
  },
  replace: {
    does: 'Change the privileges of a role; the change applies at once to all grants of it',
    rest: 'PUT /roles/{name}',
    can: 'UserModify on /api/roles/{name}',
    audit: 'policy_changed',
    params: strict({ name: RoleName, ...Given }),
    result: Role,
  },
  delete: {
    does: 'Delete a role without grants',
    rest: 'DELETE /roles/{name}',
    can: 'UserModify on /api/roles/{name}',
    audit: 'policy_changed',
    status: 204,
    params: ByName,
    result: Done,
  },
})
