import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, ListQuery, Name, Page, record, strict, Time, Version } from '#shared/contracts/common.ts'
import { Username } from '#shared/contracts/access/users.ts'

export const Group = record('name members parents description id')({
  id: Type.String(),
  name: Name,
  description: Type.String({ maxLength: 1000 }),
  parents: Type.Array(Type.String(), { description: 'Groups whose grants this one inherits' }),
  members: Type.Array(Username),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Group = Static<typeof Group>

const Given = {
  name: Name,
  description: Type.String({ maxLength: 1000, default: '' }),
  parents: Type.Array(Id, { maxItems: 100, uniqueItems: true, default: [] }),
}
const OfMember = strict({ id: Id, username: Username })

export const groups = contract('groups', {
  list: {
    does: 'List groups: your own, and those you may manage',
    rest: 'GET /groups',
    can: 'signed-in',
    itemAccess: 'UserModify on /api/groups/{id}',
    params: ListQuery('id', 'name', 'members'),
    result: Page(Group),
  },
  get: { does: 'Get a group', rest: 'GET /groups/{id}', can: 'signed-in', params: ById, result: Group },
  create: {
    does: 'Create a group',
    rest: 'POST /groups',
    can: 'UserModify on /api/groups',
    audit: 'policy_changed',
    status: 201,
    params: strict({
      id: Type.Optional(Id),
      ...Given,
      members: Type.Array(Username, { maxItems: 10_000, uniqueItems: true, default: [] }),
    }),
    result: Group,
  },
  replace: {
    does: 'Change a group: name, parents and, if given, members',
    rest: 'PUT /groups/{id}',
    can: 'UserModify on /api/groups/{id}',
    audit: 'policy_changed',
    params: strict({
      id: Id,
      ...Given,
      members: Type.Optional(Type.Array(Username, { maxItems: 10_000, uniqueItems: true })),
    }),
    result: Group,
  },
  delete: {
    does: 'Delete a group with its grants; its members and its children lose them',
    rest: 'DELETE /groups/{id}',
    can: 'UserModify on /api/groups/{id}',
    audit: 'policy_changed',
    status: 204,
    params: ById,
    result: Done,
  },
  putMember: {
    does: 'Add a user to a group',
    rest: 'PUT /groups/{id}/members/{username}',
    can: 'UserModify on /api/groups/{id}',
    audit: 'role_assigned',
    params: OfMember,
    result: Group,
  },
  removeMember: {
    does: 'Remove a user from a group',
    rest: 'DELETE /groups/{id}/members/{username}',
    can: 'UserModify on /api/groups/{id}',
    audit: 'role_revoked',
    status: 204,
    params: OfMember,
    result: Done,
  },
})
