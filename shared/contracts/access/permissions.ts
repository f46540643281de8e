import { type Static, type TSchema, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, ListQuery, oneOf, Page, record, strict, Time, Version } from '#shared/contracts/common.ts'
import { Member, MemberKind } from '#shared/contracts/access/resource-pools.ts'
import { GrantPath, PrivilegeName, RoleName } from '#shared/contracts/access/roles.ts'
import { Circumstances, Username } from '#shared/contracts/access/users.ts'

export const Subject = strict({
  kind: oneOf('user', 'group', 'api_key'),
  id: Type.String({ minLength: 1, maxLength: 64, description: "A user's name, or the id of a group or an API key" }),
})
export type Subject = Static<typeof Subject>

const ClockTime = Type.String({
  examples: ['08:30'],
  pattern: '^([01]\\d|2[0-3]):[0-5]\\d$|^24:00$',
  errorMessage: 'must be a time of day such as 08:30; 24:00 is the end of the day',
})
export const Hours = strict({
  timezone: Type.String({ default: 'UTC', maxLength: 64, description: 'IANA name, such as Europe/Berlin' }),
  windows: Type.Array(
    strict({
      days: Type.Array(Type.Integer({ minimum: 0, maximum: 6 }), {
        minItems: 1,
        maxItems: 7,
        description: '0 is Sunday',
      }),
      from: ClockTime,
      until: ClockTime,
    }),
    { minItems: 1, maxItems: 50, description: 'A window that ends before it begins continues into the next day' },
  ),
})
export type Hours = Static<typeof Hours>

const conditions = {
  networks: Type.Optional(
    Type.Array(Type.String({ maxLength: 64 }), {
      minItems: 1,
      maxItems: 100,
      description: 'Networks (CIDR) that the request must come from',
    }),
  ),
  hours: Type.Optional(Hours),
  expires_at: Type.Optional(Time),
}
export const NewGrant = strict({ subject: Subject, role: RoleName, path: GrantPath, ...conditions })
export type NewGrant = Static<typeof NewGrant>
export const Grant = record('id subject role path expires_at')({
  id: Type.String(),
  ...NewGrant.properties,
  created_at: Time,
  created_by: Type.String(),
  version: Version,
})
export type Grant = Static<typeof Grant>

const ResourcePath = Type.String({
  maxLength: 1024,
  examples: ['/api/vms/web-1'],
  pattern: '^/([A-Za-z0-9._~%:@+-]+(/[A-Za-z0-9._~%:@+-]+)*)?$',
  errorMessage: 'must be the path of a resource, such as /api/vms/7',
})

const Step = strict({
  grant: Type.String(),
  subject: Subject,
  role: Type.String(),
  path: Type.String(),
  via: Type.Array(Type.String(), {
    description: 'Chain of groups, from the direct one up; empty for a direct grant',
  }),
  pool: Type.Union([Type.String(), Type.Null()], { description: 'Resource pool of which the resource is a member' }),
  fails: Type.Array(oneOf('privilege', 'path', 'expired', 'network', 'hours'), {
    description: 'Reasons why it does not allow this; empty if it does',
  }),
})
export type Step = Static<typeof Step>

/** The result of a permission check with the grants that decided it. */
export const Explanation = strict({
  user: Type.String(),
  api_key: Type.Union([Type.String(), Type.Null()]),
  privilege: PrivilegeName,
  path: Type.String(),
  allowed: Type.Boolean(),
  because: Type.String(),
  proof: Type.Array(Step, { description: 'Every grant that allows it' }),
  near: Type.Array(Step, { description: 'Grants that fail by a single condition' }),
})
export type Explanation = Static<typeof Explanation>

/**
 * A user or API key whose right to a resource ends with the resource: `networks` restricts each grant to its networks.
 */
export const Witness = strict({
  kind: oneOf('user', 'api_key'),
  id: Type.String(),
  networks: Type.Array(Type.Array(Type.String())),
})
export type Witness = Static<typeof Witness>

const change = <const N extends string, T extends Record<string, TSchema>>(name: N, properties: T) =>
  strict({ change: Type.Literal(name), ...properties })

export const PolicyChange = Type.Union([
  change('grant', NewGrant.properties),
  change('revoke', { id: Id }),
  change('role', { name: RoleName, privileges: Type.Array(PrivilegeName, { uniqueItems: true }) }),
  change('delete_role', { name: RoleName }),
  change('member', { group: Id, user: Username, is_member: Type.Boolean() }),
  change('parents', { group: Id, parents: Type.Array(Id, { uniqueItems: true }) }),
  change('delete_group', { group: Id }),
  change('pool_member', { pool: Id, kind: MemberKind, id: Member.properties.id, is_member: Type.Boolean() }),
  change('delete_pool', { pool: Id }),
  change('user', { user: Username, enabled: Type.Boolean() }),
])
export type PolicyChange = Static<typeof PolicyChange>

const Differences = strict({
  user: Type.String(),
  gains: Type.Array(PrivilegeName),
  loses: Type.Array(PrivilegeName),
  paths: Type.Array(Type.String(), {
    description:
      'Where. Without resources asked about, /a/* and /a/** stand for every other path there that is not named in the answer',
  }),
})

export const WhatIf = strict({
  users: Type.Integer({ description: 'Number of compared users' }),
  resources: Type.Integer({ description: 'Number of compared paths' }),
  users_changed: Type.Integer(),
  total: Type.Integer({ description: 'Number of pairs of user and path with a change' }),
  truncated: Type.Boolean({ description: 'True: more pairs exist than are listed' }),
  data: Type.Array(Differences),
})
export type WhatIf = Static<typeof WhatIf>

export const permissions = contract('permissions', {
  list: {
    does: 'List grants',
    rest: 'GET /permissions',
    can: 'signed-in',
    params: ListQuery('role', 'path', 'subject'),
    result: Page(Grant),
  },
  create: {
    does: 'Grant a role on a path',
    rest: 'POST /permissions',
    can: 'UserModify on /api/permissions',
    audit: 'role_assigned',
    status: 201,
    params: strict({ ...NewGrant.properties, id: Type.Optional(Id) }),
    result: Grant,
  },
  delete: {
    does: 'Remove a grant',
    rest: 'DELETE /permissions/{id}',
    can: 'UserModify on /api/permissions/{id}',
    audit: 'role_revoked',
    status: 204,
    params: ById,
    result: Done,
  },
  explain: {
    does: 'Explain by the grants why a user may or may not do something',
    rest: 'GET /permissions/explain',
    can: 'signed-in',
    params: strict({
      user: Type.Optional(Username),
      api_key: Type.Optional(Id),
      privilege: PrivilegeName,
      path: ResourcePath,
      ...Circumstances,
    }),
    result: Explanation,
  },
  whatIf: {
    does: 'Compute the rights that each user would gain or lose by changes, without making them',
    rest: 'POST /permissions/what-if',
    can: 'UserModify on /api/permissions',
    params: strict({
      changes: Type.Array(PolicyChange, { minItems: 1, maxItems: 1000 }),
      users: Type.Optional(Type.Array(Username, { maxItems: 10_000, description: 'All if not given' })),
      resources: Type.Optional(
        Type.Array(ResourcePath, { maxItems: 20_000, description: 'Every possible path if not given' }),
      ),
      ...Circumstances,
      limit: Type.Integer({ minimum: 0, maximum: 10_000, default: 1000, description: 'Pairs that are listed' }),
    }),
    result: WhatIf,
  },
  witnesses: {
    does: 'List users and keys whose right ends with a resource, so that they receive the event of its deletion',
    can: 'service',
    callers: ['vm', 'container'],
    params: strict({
      path: Type.String({ examples: ['/api/vms/web-1'], pattern: '^/api/.+' }),
      privilege: PrivilegeName,
    }),
    result: strict({ pools: Type.Array(Type.String()), witnesses: Type.Array(Witness) }),
  },
  forget: {
    does: 'Remove the grants and resource pool memberships of a deleted resource, so that a later one with its id inherits nothing',
    can: 'service',
    callers: ['cluster', 'storage', 'vm', 'container'],
    params: strict({ path: Type.String({ examples: ['/api/vms/web-1'], pattern: '^/api/.+' }) }),
    result: Done,
  },
})
