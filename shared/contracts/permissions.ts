import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract.ts'
import { ById, Done, Id, ListQuery, oneOf, Page, strict, Time, Version } from '#shared/contracts/common.ts'
import { GrantPath, RoleName } from '#shared/contracts/roles.ts'

export const Subject = strict({
  kind: oneOf('user', 'group', 'api_key'),
  id: Type.String({ minLength: 1, maxLength: 64, description: "A user's name, or the id of a group or an API key" }),
})
export type Subject = Static<typeof Subject>

const ClockTime = Type.String({
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
    { minItems: 1, maxItems: 50, description: 'A window that ends before it begins goes on into the next day' },
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
export const Grant = strict({
  id: Type.String(),
  ...NewGrant.properties,
  created_at: Time,
  created_by: Type.String(),
  version: Version,
})
export type Grant = Static<typeof Grant>

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
    does: 'Take a grant back',
    rest: 'DELETE /permissions/{id}',
    can: 'UserModify on /api/permissions/{id}',
    audit: 'role_revoked',
    status: 204,
    params: ById,
    result: Done,
  },
})
