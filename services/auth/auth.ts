import { auth } from '#shared/contracts/auth.ts'
import { AuthenticationError, notFound } from '#shared/errors.ts'
import { implement } from '#shared/service.ts'
import { guard } from './brute-force.ts'
import { makeAdministrator, useSetupToken } from './first-start.ts'
import { identify, recheck } from './identify.ts'
import { login, signedIn } from './login.ts'
import { sessions, users } from './models.ts'
import { mayManage, refuseApiKey, require, sessionIdOf, userOf } from './own.ts'
import { checkNewUser, checkPassword } from './password-rules.ts'
import { hashPassword, isPassword } from './passwords.ts'
import { tellOfChange } from './policy/store.ts'
import { mutable, rightsNamed } from './rights.ts'
import { endSessionsOf, sessionById } from './sessions.ts'
import { sessionView, userView } from './views.ts'

const attemptOf = (call: Parameters<typeof login>[1], user?: string) =>
  guard(
    [...(user === undefined ? [] : [`user:${user}`]), `address:${call.caller.address ?? 'unknown'}`],
    call.caller,
    call.requestId,
  )

/** Who somebody is, and how they prove it. */
export const authActions = implement(auth, {
  identify: (shown) => identify(shown),
  recheck: (proven) => recheck(proven),
  rights: ({ name, offset }) => rightsNamed(name, offset),

  setup: async ({ token, username, password }, call) => {
    checkNewUser(username, password)
    const attempt = await attemptOf(call)
    await useSetupToken(token)
    await attempt.succeeded()
    call.record.user = username
    return userView(await makeAdministrator(username, password))
  },

  login: (credentials, call) => login(credentials, call),

  logout: async (_, call) => {
    const { user, proof } = userOf(call)
    const id = sessionIdOf(proof)
    if (id === null) throw new AuthenticationError('An API key has no session to end; revoke the key instead')
    await sessions.removeWhere({ _id: id, user })
    tellOfChange(user)
    call.reply.cookie = null
    return null
  },

  refresh: async (_, call) => {
    const { user, proof } = userOf(call)
    if (proof.by !== 'session')
      throw new AuthenticationError(
        'A new token is given for the session cookie; a token or an API key cannot renew itself',
      )
    return signedIn(await users.require(user), await sessionById(proof.id))
  },

  password: async ({ old_password, new_password }, call) => {
    refuseApiKey(call, 'Changing the password')
    const { user: username, proof } = userOf(call)
    const user = await users.require(username)
    const attempt = await attemptOf(call, username)
    if (!(await isPassword(user.password_hash, old_password)))
      throw new AuthenticationError('The old password is wrong')
    await attempt.succeeded()
    checkPassword(new_password, username, 'new_password')
    const password_hash = await hashPassword(new_password)
    const changed = await users.updateWhere(
      { _id: username, password_hash: user.password_hash },
      { set: { password_hash } },
    )
    if (!changed) throw new AuthenticationError('The password was changed by somebody else at this very moment')
    await endSessionsOf(username, proof.id)
    tellOfChange(username)
    return null
  },

  session: async (_, call) => {
    const { user, proof } = userOf(call)
    const id = sessionIdOf(proof)
    return {
      user: userView(await users.require(user)),
      proof,
      session: id === null ? null : sessionView(await sessionById(id)),
      rights: call.rights.rights.map(mutable),
    }
  },

  sessions: async ({ username, ...query }, call) => {
    const user = username ?? userOf(call).user
    if (!mayManage(call, user)) require(call, 'UserModify', `/api/users/${user}`)
    const found = await sessions.list(query, { all: true, item: () => true }, { user })
    return { ...found, data: found.data.map(sessionView) }
  },

  endSession: async ({ id }, call) => {
    const session = await sessions.get(id)
    if (!session || !mayManage(call, session.user)) throw notFound('Session', id)
    await sessions.removeWhere({ _id: id })
    tellOfChange(session.user)
    return null
  },
})
