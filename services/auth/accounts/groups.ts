import { groups as contract } from '#shared/contracts/access/groups.ts'
import { ConflictError, notFound, ValidationError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { removeGrantsOn } from '../grants/remove-grants.ts'
import { grants, groups, type StoredGroup, users } from '../models.ts'
import { refuseEscalation, requireAdministrator, rightsOfGroup } from '../policy/escalation.ts'
import { cycleThrough, type Policy, type PolicyGroup } from '../policy/policy.ts'
import { changePolicy } from '../policy/store.ts'

function withGroup(policy: Policy, group: PolicyGroup): Policy {
  return {
    ...policy,
    groups: new Map([...policy.groups, [group.id, group]]),
  }
}

/** Checks a new or changed group against the policy. @throws ValidationError, ConflictError or ForbiddenError */
async function checkGroup(policy: Policy, group: PolicyGroup, call: Call): Promise<void> {
  const after = withGroup(policy, group)
  const what = `change who has it by the group '${group.id}'`
  refuseEscalation(call, rightsOfGroup(policy, group.id), what)
  refuseEscalation(call, rightsOfGroup(after, group.id), what, { policy })
  const known = new Set(policy.groups.get(group.id)?.members)
  const strangers = await unknownUsers(group.members.filter((name) => !known.has(name)))
  const orphans = group.parents.filter((parent) => !policy.groups.has(parent) && parent !== group.id)
  const violations = [...missingIn('members', 'user', strangers), ...missingIn('parents', 'group', orphans)]
  if (violations.length > 0) throw new ValidationError(violations)
  const cycle = cycleThrough(after.groups, group.id)
  if (cycle)
    throw new ConflictError(`The group '${group.id}' would inherit from itself: ${cycle.join(' → ')}`, {
      details: { cycle },
    })
  await requireAdministratorAfter(after)
}

async function unknownUsers(names: string[]): Promise<string[]> {
  if (names.length === 0) return []
  const found = new Set((await users.all({ _id: { $in: names } })).map(({ id }) => id))
  return names.filter((name) => !found.has(name))
}

function missingIn(field: string, called: string, names: string[]): Violation[] {
  return names.length === 0
    ? []
    : [{ field, code: 'unknown', message: `there is no ${called} '${names.join("', '")}'` }]
}

async function requireAdministratorAfter(after: Policy) {
  return requireAdministrator(
    after,
    (await users.all({ enabled: true })).map(({ id }) => id),
  )
}

const isMember = ({ caller }: Call, { members }: StoredGroup) => caller.kind === 'user' && members.includes(caller.user)

/** Changes the members of a group. */
function changeMembers(id: string, username: string, call: Call, to: (members: string[]) => string[]) {
  return changePolicy(async (policy) => {
    const group = await groups.requireForChange(id)
    const members = to(group.members)
    await checkGroup(policy, { ...group, members }, call)
    return groups.change(id, () => ({ set: { members } }))
  }, username)
}

/** Actions on groups: users who receive grants together. */
export const groupActions = implement(contract, {
  list: async (query, call) => {
    const { caller, maySee } = call
    const own = caller.kind === 'user' ? await groups.all({ members: caller.user }) : []
    const ids = new Set(own.map(({ id }) => id))
    return groups.list(query, { all: maySee.all, item: (id) => ids.has(id) || maySee.item(id) })
  },

  get: async ({ id }, call) => {
    const group = await groups.get(id)
    if (!group || !(isMember(call, group) || call.rights.allows('UserModify', `/api/groups/${id}`)))
      throw notFound('Group', id)
    return group
  },

  create: async ({ id = newId(), ...given }, call) =>
    changePolicy(async (policy) => {
      await checkGroup(policy, { id, ...given }, call)
      const time = now()
      return groups.insert({ id, ...given, created_at: time, updated_at: time })
    }),

  replace: async ({ id, ...given }, call) =>
    changePolicy(async (policy) => {
      const group = await groups.requireForChange(id)
      const { name, description, parents, members = group.members } = given
      await checkGroup(policy, { id, parents, members }, call)
      return groups.change(id, () => ({ set: { name, description, parents, members } }))
    }),

  delete: async ({ id }, call) =>
    changePolicy(async (policy) => {
      const group = await groups.requireForChange(id)
      refuseEscalation(call, rightsOfGroup(policy, id), `take it from the group '${id}'`)
      const left = new Map(policy.groups)
      left.delete(id)
      await requireAdministratorAfter({ ...policy, groups: left })
      for (const child of await groups.all({ parents: id }))
        await groups.updateWhere(
          { _id: child.id },
          { set: { parents: child.parents.filter((parent) => parent !== id) } },
        )
      await grants.removeWhere({ 'subject.kind': 'group', 'subject.id': id })
      await removeGrantsOn(`/api/groups/${id}`)
      await groups.remove(group)
      return null
    }),

  putMember: ({ id, username }, call) =>
    changeMembers(id, username, call, (members) => [...new Set([...members, username])]),

  removeMember: async ({ id, username }, call) => {
    await changeMembers(id, username, call, (members) => {
      if (!members.includes(username)) throw notFound('Member', username)
      return members.filter((name) => name !== username)
    })
    return null
  },
})
