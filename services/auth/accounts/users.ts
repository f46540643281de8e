import { users as contract } from '#shared/contracts/access/users.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { ForbiddenError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { removeGrantsOn } from '../grants/remove-grants.ts'
import { createKey, listKeys, revokeKey } from '../credentials/api-key-actions.ts'
import { apiKeys, grants, groups, users } from '../models.ts'
import { isOwnSignIn, mayManage } from './account-access.ts'
import { checkNewUser, checkPassword } from '../sign-in/password-rules.ts'
import { hashPassword } from '../sign-in/passwords.ts'
import { refuseEscalation, requireAdministrator, rightsAtMost, rightsOfRole } from '../policy/escalation.ts'
import type { Policy } from '../policy/policy.ts'
import { changePolicy, currentPolicy, tellOfChange } from '../policy/store.ts'
import { circumstancesOf } from '../grants/permission-queries.ts'
import { rightsWithGrants } from '../grants/rights.ts'
import { requireRole, unknownRoles } from '../grants/roles.ts'
import { endSessionsOf } from '../credentials/sessions.ts'
import { userView } from './user-view.ts'

function mayRead(call: Call, username: string) {
  return mayManage(call, username) || call.rights.allows('SysAudit', `/api/users/${username}`)
}

async function enabledUsers(except: string) {
  return (await users.all({ enabled: true })).map(({ id }) => id).filter((id) => id !== except)
}

/** Actions on users and their API keys. */
export const userActions = implement(contract, {
  list: async ({ filter, ...query }, call) => {
    const item = (id: string) => mayRead(call, id)
    const all = call.maySee.all || call.rights.allows('SysAudit', '/')
    const found = await users.list({ ...query, filter: placed(filter, { username: 'id' }) }, { all, item })
    return { ...found, data: found.data.map(userView) }
  },

  get: async ({ username }, call) => {
    if (!mayRead(call, username)) throw notFound('User', username)
    return userView(await users.require(username))
  },

  create: async ({ username, password, enabled, full_name = null, email = null, roles = [] }, call) => {
    checkNewUser(username, password, unknownRoles(await currentPolicy(), roles, 'roles'))
    const password_hash = await hashPassword(password)
    const time = now()
    const record = { id: username, full_name, email, enabled, password_hash, totp: null, last_login_at: null }
    const insert = async () => userView(await users.insert({ ...record, created_at: time, updated_at: time }))
    // Without roles no rights change, so the policy lease is not needed.
    if (roles.length === 0) return insert().finally(() => tellOfChange(username))
    return changePolicy(async (policy) => {
      for (const role of roles) {
        requireRole(policy, role, 'roles')
        refuseEscalation(call, rightsOfRole(policy, role, '/'), `give the role ${role} on /`, { policy })
      }
      const user = await insert()
      for (const role of roles)
        await grants.insert({
          id: newId(),
          subject: { kind: 'user', id: username },
          role,
          path: '/',
          created_at: time,
          created_by: call.caller.kind === 'user' ? call.caller.user : 'system',
        })
      return user
    }, username)
  },

  change: async ({ username, password, enabled, totp, full_name, email }, call) => {
    refuseOwnProof(call, username, { password, totp })
    if (password !== undefined) checkPassword(password, username)
    const password_hash = password === undefined ? undefined : await hashPassword(password)
    if (password === undefined && enabled === undefined && totp === undefined) {
      await requireChangeable(await currentPolicy(), username, call)
      return userView(await users.change(username, () => ({ set: givenOf({ full_name, email }) })))
    }
    return changePolicy(async (policy) => {
      await requireChangeable(policy, username, call)
      if (enabled === false) requireAdministrator(policy, await enabledUsers(username))
      const set = givenOf({ full_name, email, enabled, password_hash, totp: totp === false ? null : undefined })
      const user = await users.change(username, () => ({ set }))
      if (enabled === false || password !== undefined) await endSessionsOf(username)
      return userView(user)
    }, username)
  },

  delete: ({ username }, call) =>
    changePolicy(async (policy) => {
      await requireChangeable(policy, username, call)
      requireAdministrator(policy, await enabledUsers(username))
      // The user is removed last: after a crash in between, no API key or grant is left for a later user of the same
      // name.
      await endSessionsOf(username)
      const keys = await apiKeys.all({ user: username })
      await apiKeys.removeWhere({ user: username })
      const gone = [{ kind: 'user', id: username }, ...keys.map(({ id }) => ({ kind: 'api_key', id }))]
      for (const { kind, id } of gone) await grants.removeWhere({ 'subject.kind': kind, 'subject.id': id })
      await removeGrantsOn(`/api/users/${username}`)
      for (const { id } of await groups.all({ members: username }))
        await groups.change(id, ({ members }) => ({ set: { members: members.filter((name) => name !== username) } }))
      await users.removeWhere({ _id: username })
      // A session that was opened in the meantime.
      await endSessionsOf(username)
      return null
    }, username),

  permissions: async ({ username, ...circumstances }, call) => {
    if (!mayRead(call, username)) throw notFound('User', username)
    await users.require(username)
    return { user: username, data: rightsWithGrants(await currentPolicy(), username, circumstancesOf(circumstances)) }
  },

  keys: ({ username, ...query }, call) => listKeys(username, query, call),
  createKey: (params, call) => createKey(params, call),
  revokeKey: ({ username, id }, call) => revokeKey(username, id, call),
})

/** The given fields of a change. An undefined value would remove the field. */
function givenOf(values: Record<string, unknown>) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

/**
 * Refuses to change the caller's own password or second factor this way: those changes require the current password, so
 * that a stolen session or key is not enough.
 */
function refuseOwnProof(
  call: Call,
  username: string,
  { password, totp }: { password?: unknown; totp?: unknown },
): void {
  if (call.caller.kind !== 'user' || call.caller.user !== username) return
  const instead = 'is changed where the old password is asked for: '
  if (password !== undefined) throw new ForbiddenError(`Your own password ${instead}POST /api/auth/password`)
  if (totp !== undefined) throw new ForbiddenError(`Your own second factor ${instead}DELETE /api/auth/totp`)
}

/** The user, if the caller may change it: only a user with no more rights than the caller. @throws ForbiddenError */
async function requireChangeable(policy: Policy, username: string, call: Call) {
  const user = await users.requireForChange(username)
  // An API key may have fewer rights than its user.
  if (!isOwnSignIn(call, username))
    refuseEscalation(call, rightsAtMost(policy, username), `change the user '${username}', who has it`, { policy })
  return user
}
