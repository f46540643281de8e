import type { Params, Result } from '#shared/contract/contract.ts'
import type { ListQuery } from '#shared/contracts/common.ts'
import type { users as contract } from '#shared/contracts/access/users.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { newKey } from './api-keys.ts'
import { apiKeys, grants, users } from '../models.ts'
import { mayChange, mayManage, refuseApiKey } from '../accounts/account-access.ts'
import { refuseEscalation, rightsAtMost } from '../policy/escalation.ts'
import { canonicalPattern } from '../policy/patterns.ts'
import { changePolicy, currentPolicy } from '../policy/store.ts'
import { requireRole } from '../grants/roles.ts'
import { keyView } from '../accounts/user-view.ts'

type C = typeof contract

/** Requires an account that the caller may manage. @throws NotFoundError also if the caller may not know of it */
async function requireAccount(username: string, call: Call) {
  if (!mayManage(call, username)) throw notFound('User', username)
  return users.require(username)
}

export async function listKeys(username: string, query: ListQuery, call: Call): Promise<Result<C, 'keys'>> {
  await requireAccount(username, call)
  const found = await apiKeys.list(query, { all: true, item: () => true }, { user: username })
  return { ...found, data: found.data.map(keyView) }
}

/** Makes an API key. A key acts as its user, so making one for another user requires all rights of that user. */
export async function createKey(params: Params<C, 'createKey'>, call: Call): Promise<Result<C, 'createKey'>> {
  const { username, name, expires_in_days, grants: given } = params
  refuseApiKey(call, 'Creating an API key')
  if (!mayManage(call, username)) requireRight(call, 'UserModify', `/api/users/${username}`)
  await users.require(username)
  const isOwn = call.caller.kind === 'user' && call.caller.user === username
  if (!isOwn) {
    const policy = await currentPolicy()
    refuseEscalation(call, rightsAtMost(policy, username), `make a key for '${username}', who has it`, { policy })
  }
  const { id, key, secret_hash } = await newKey()
  const time = now()
  const expires_at =
    expires_in_days === undefined ? null : new Date(Date.now() + expires_in_days * 24 * 3_600_000).toISOString()
  return changePolicy(async (policy) => {
    for (const { role } of given ?? []) requireRole(policy, role, 'grants')
    for (const { role, path } of given ?? [])
      await grants.insert({
        id: newId(),
        subject: { kind: 'api_key', id },
        role,
        path: canonicalPattern(path),
        created_at: time,
        created_by: username,
      })
    const record = { id, user: username, name, secret_hash, restricted: given !== undefined, expires_at }
    const never = { last_used_at: null, last_used_address: null, created_at: time, updated_at: time }
    return { ...keyView(await apiKeys.insert({ ...record, ...never })), key }
  }, username)
}

export async function revokeKey(username: string, id: string, call: Call): Promise<null> {
  await requireAccount(username, call)
  const isItself = call.caller.kind === 'user' && call.caller.credential.id === id
  if (!isItself && !mayChange(call, username)) refuseApiKey(call, 'Revoking another API key')
  return changePolicy(async () => {
    const key = await apiKeys.find({ _id: id, user: username })
    if (key) requireVersion(`API key '${id}'`, key.version)
    const removed = await apiKeys.removeWhere({ _id: id, user: username })
    if (removed === 0) throw notFound('API key', id)
    await grants.removeWhere({ 'subject.kind': 'api_key', 'subject.id': id })
    return null
  }, username)
}
