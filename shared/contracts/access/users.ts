import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, ListQuery, Page, record, strict, Time, Version, nullable } from '#shared/contracts/common.ts'
import { GrantPath, RoleName } from '#shared/contracts/access/roles.ts'
import { privileges } from '#shared/access/privileges.ts'

export const Username = Type.String({
  examples: ['ann'],
  pattern: '^[a-z0-9._-]{3,64}$',
  description: '3 to 64 of a–z, 0–9, dot, underscore and hyphen',
  errorMessage: 'must be 3 to 64 of a-z, 0-9, dot, underscore and hyphen',
})
/** Password, limited in size here; the password rules are checked when it is set. */
export const Password = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'At least 8 with upper and lower case and a digit, or at least 15 of any kind; at most 128',
})
const FullName = Type.String({ maxLength: 255 })
const Email = Type.String({
  maxLength: 254,
  examples: ['ann@example.org'],
  pattern: '^[^@\\s]+@[^@\\s]+$',
  errorMessage: 'must be an e-mail address',
})

export const User = record('username full_name enabled totp last_login_at')({
  username: Username,
  full_name: nullable(FullName),
  email: nullable(Email),
  enabled: Type.Boolean({ description: 'True: the user may sign in; false ends all sessions at once' }),
  totp: Type.Boolean({ description: 'True: sign-in requires a second factor' }),
  last_login_at: nullable(Time),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type User = Static<typeof User>

export const ApiKey = record('name user restricted expires_at last_used_at id')({
  id: Type.String({ description: 'The public part of the key' }),
  user: Username,
  name: Type.String(),
  restricted: Type.Boolean({
    description: "True: it has only those of its user's rights that were granted to it",
  }),
  expires_at: nullable(Time),
  last_used_at: nullable(Time),
  last_used_address: nullable(Type.String()),
  created_at: Time,
  version: Version,
})
export type ApiKey = Static<typeof ApiKey>

/** Privileges of a user on a path, with the grants that give them. */
export const EffectiveRight = strict({
  path: Type.String({ description: 'As in a grant: /api/vms/* one level, /api/vms/** any depth' }),
  privileges: Type.Array(Type.Enum([...privileges])),
  grants: Type.Array(Type.String(), { description: 'Ids of the grants that give it' }),
})

/** Time and address for the conditions of grants. */
export const Circumstances = {
  at: Type.Optional(Type.String({ format: 'date-time', description: 'For hours and expiry; default: now' })),
  address: Type.Optional(
    Type.String({ maxLength: 64, description: 'For networks; if not given, every network condition is met' }),
  ),
}

const ByUsername = strict({ username: Username })
const given = { full_name: Type.Optional(nullable(FullName)), email: Type.Optional(nullable(Email)) }

/** Users see and partly change their own record; other callers need UserModify on the user. */
export const users = contract('users', {
  list: {
    does: 'List users',
    rest: 'GET /users',
    can: 'signed-in',
    itemAccess: 'UserModify on /api/users/{id}',
    params: ListQuery('username', 'id', 'enabled', 'email'),
    result: Page(User),
  },
  get: { does: 'Get a user', rest: 'GET /users/{username}', can: 'signed-in', params: ByUsername, result: User },
  create: {
    does: 'Create a user',
    rest: 'POST /users',
    can: 'UserModify on /api/users',
    audit: 'config_changed',
    status: 201,
    params: strict({
      username: Username,
      password: Password,
      enabled: Type.Boolean({ default: true }),
      ...given,
      roles: Type.Optional(Type.Array(RoleName, { maxItems: 20, description: 'Roles to grant on /' })),
    }),
    result: User,
    secret: ['password'],
  },
  change: {
    does: 'Change a user; a new password ends the sessions of the user',
    rest: 'PATCH /users/{username}',
    can: 'UserModify on /api/users/{username}',
    audit: 'config_changed',
    params: strict({
      username: Username,
      password: Type.Optional(Password),
      enabled: Type.Optional(Type.Boolean()),
      totp: Type.Optional(Type.Literal(false, { description: 'Disables the second factor' })),
      ...given,
    }),
    result: User,
    secret: ['password'],
  },
  delete: {
    does: 'Delete a user with all sessions, API keys and grants',
    rest: 'DELETE /users/{username}',
    can: 'UserModify on /api/users/{username}',
    audit: 'config_changed',
    status: 204,
    params: ByUsername,
    result: Done,
  },
  permissions: {
    does: 'List the rights of a user, with the grants that give them',
    rest: 'GET /users/{username}/permissions',
    can: 'signed-in',
    params: strict({ username: Username, ...Circumstances }),
    result: strict({ user: Username, data: Type.Array(EffectiveRight) }),
  },
  keys: {
    does: 'List the API keys of a user',
    rest: 'GET /users/{username}/api-keys',
    can: 'signed-in',
    params: strict({ ...ListQuery('name').properties, username: Username }),
    result: Page(ApiKey),
  },
  createKey: {
    does: 'Create an API key; its secret is shown only once',
    rest: 'POST /users/{username}/api-keys',
    can: 'signed-in',
    audit: 'permission_granted',
    status: 201,
    params: strict({
      username: Username,
      name: Type.String({ minLength: 1, maxLength: 255 }),
      expires_in_days: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 3650, description: 'Days; without it the key does not expire' }),
      ),
      grants: Type.Optional(
        Type.Array(strict({ role: RoleName, path: GrantPath }), {
          maxItems: 100,
          description: 'If given, the key has only these grants, limited to the rights of its user',
        }),
      ),
    }),
    result: strict({ ...ApiKey.properties, key: Type.String({ description: 'For the header X-API-Key' }) }),
    secret: ['key'],
  },
  revokeKey: {
    does: 'Revoke an API key',
    rest: 'DELETE /users/{username}/api-keys/{id}',
    can: 'signed-in',
    audit: 'role_revoked',
    status: 204,
    params: strict({ username: Username, id: Id }),
    result: Done,
  },
})
