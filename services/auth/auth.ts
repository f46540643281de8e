import { auth } from '#shared/contracts/access/auth.ts'
import { AuthenticationError, notFound } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { implement } from '#shared/service/implement.ts'
import { guard } from './sign-in/brute-force.ts'
import { makeAdministrator, useSetupToken } from './sign-in/first-start.ts'
import { beginDevice, confirmDevice, deviceByCode, signInDevice } from './sign-in/device.ts'
import { identify, recheck } from './credentials/identify.ts'
import { login, signedIn } from './sign-in/login.ts'
import { sessions, type StoredUser, users } from './models.ts'
import { mayChange, mayManage, refuseApiKey, sessionIdOf, userOf } from './accounts/account-access.ts'
import { checkNewUser, checkPassword } from './sign-in/password-rules.ts'
import { hashPassword, isPassword } from './sign-in/passwords.ts'
import { tellOfChange } from './policy/store.ts'
import { mutable, rightsNamed } from './grants/rights.ts'
import { endSessionsOf, sessionById } from './credentials/sessions.ts'
import { rotateKeys } from './credentials/signing-keys.ts'
import { issueTicket, redeemTicket } from './credentials/tickets.ts'
import { countSignInAttempt } from './sign-in/sign-in-rate.ts'
import { beginTotp, confirmTotp, requireCode } from './sign-in/totp.ts'
import { sessionView, userView } from './accounts/user-view.ts'

function attemptOf(call: Call, user?: string) {
  return guard(
    [...(user === undefined ? [] : [`user:${user}`]), `address:${call.caller.address ?? 'unknown'}`],
    call.caller,
    call.requestId,
  )
}

/** Requires the caller's password. @throws AuthenticationError */
async function requirePassword(password: string, call: Call): Promise<StoredUser> {
  const { user: username } = userOf(call)
  const user = await users.require(username)
  const attempt = await attemptOf(call, username)
  if (!(await isPassword(user.password_hash, password))) throw new AuthenticationError('The password is wrong')
  await attempt.succeeded()
  return user
}

/** Sign-in, sessions, tokens, tickets, second factor and signing keys. */
export const authActions = implement(auth, {
  identify: (shown) => identify(shown),
  recheck: (proven) => recheck(proven),
  rights: ({ name, offset }) => rightsNamed(name, offset),

  countSignInAttempt: ({ address }) => countSignInAttempt(address),
  redeem: ({ ticket, address }) => redeemTicket(ticket, address),

  setupNeeded: async () => ({ needed: (await users.find({})) === null }),

  setup: async ({ token, username, password }, call) => {
    checkNewUser(username, password)
    const attempt = await attemptOf(call)
    await useSetupToken(token)
    await attempt.succeeded()
    call.record.user = username
    return userView(await makeAdministrator(username, password))
  },

  login: (credentials, call) => login(credentials, call),

  deviceBegin: (given, call) => beginDevice(given, call),
  device: (given) => deviceByCode(given),
  deviceConfirm: (given, call) => confirmDevice(given, call),
  deviceToken: (given, call) => signInDevice(given, call),

  logout: async (_, call) => {
    const { user, credential } = userOf(call)
    const id = sessionIdOf(credential)
    if (id === null) throw new AuthenticationError('An API key has no session to end; revoke the key instead')
    await sessions.removeWhere({ _id: id, user })
    tellOfChange(user)
    call.reply.cookie = null
    return null
  },

  refresh: async (_, call) => {
    const { user, credential } = userOf(call)
    if (credential.by !== 'session')
      throw new AuthenticationError(
        'A new token is given for the session cookie; a token or an API key cannot renew itself',
      )
    return signedIn(await users.require(user), await sessionById(credential.id))
  },

  password: async ({ old_password, new_password }, call) => {
    refuseApiKey(call, 'Changing the password')
    const { user: username, credential } = userOf(call)
    const user = await requirePassword(old_password, call)
    checkPassword(new_password, username, 'new_password')
    const password_hash = await hashPassword(new_password)
    const changed = await users.updateWhere(
      { _id: username, password_hash: user.password_hash },
      { set: { password_hash } },
    )
    if (!changed)
      throw new AuthenticationError('The password was changed by another request at the same time; try again')
    await endSessionsOf(username, credential.id)
    tellOfChange(username)
    return null
  },

  session: async (_, call) => {
    const { user, credential } = userOf(call)
    const id = sessionIdOf(credential)
    return {
      user: userView(await users.require(user)),
      proof: credential,
      session: id === null ? null : sessionView(await sessionById(id)),
      rights: call.rights.rights.map(mutable),
    }
  },

  sessions: async ({ username, ...query }, call) => {
    const user = username ?? userOf(call).user
    if (!mayManage(call, user)) requireRight(call, 'UserModify', `/api/users/${user}`)
    const found = await sessions.list(query, { all: true, item: () => true }, { user })
    return { ...found, data: found.data.map(sessionView) }
  },

  endSession: async ({ id }, call) => {
    const session = await sessions.get(id)
    if (!session || !mayManage(call, session.user)) throw notFound('Session', id)
    if (!mayChange(call, session.user)) refuseApiKey(call, 'Ending a session')
    await sessions.removeWhere({ _id: id })
    tellOfChange(session.user)
    return null
  },

  wsTicket: (_, call) => {
    const { user, credential } = userOf(call)
    return issueTicket(user, credential)
  },

  totp: async ({ password }, call) => {
    refuseApiKey(call, 'Setting up a second factor')
    return beginTotp(await requirePassword(password, call))
  },

  totpConfirm: async ({ code }, call) => {
    refuseApiKey(call, 'Setting up a second factor')
    return { recovery_codes: await confirmTotp(await users.require(userOf(call).user), code) }
  },

  totpRemove: async ({ password, code }, call) => {
    refuseApiKey(call, 'Disabling the second factor')
    const user = await requirePassword(password, call)
    await requireCode(user, code)
    await users.change(user.id, () => ({ set: { totp: null } }))
    return null
  },

  rotateKeys: async ({ revoke }) => {
    const made = await rotateKeys({ revoke })
    if (revoke) tellOfChange()
    return made
  },
})
