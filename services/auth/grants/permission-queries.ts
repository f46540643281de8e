import ipaddr from 'ipaddr.js'
import type { Params } from '#shared/contract/contract.ts'
import type { Explanation, permissions, WhatIf } from '#shared/contracts/access/permissions.ts'
import { invalid, notFound, type Violation } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { explain } from './explain.ts'
import { apiKeys, users } from '../models.ts'
import { mayManage, userOf } from '../accounts/account-access.ts'
import { conditionViolations } from '../policy/conditions.ts'
import type { Circumstances } from '../policy/policy.ts'
import { currentPolicy, loadPolicy } from '../policy/store.ts'
import { applyChanges } from '../what-if/apply.ts'
import { whatIf } from '../what-if/what-if.ts'

type C = typeof permissions

export function circumstancesOf({
  at,
  address,
}: {
  at?: string | undefined
  address?: string | undefined
}): Circumstances {
  if (address !== undefined && !ipaddr.isValid(address)) throw invalid('address', `'${address}' is not an IP address`)
  return { at: at === undefined ? new Date() : new Date(at), address: address ?? null }
}

/**
 * Explains a right of a user. Callers may ask about themselves; asking about others requires the right to audit or to
 * manage grants.
 */
export async function answerExplain(params: Params<C, 'explain'>, call: Call): Promise<Explanation> {
  const { privilege, path, api_key } = params
  const user = params.user ?? userOf(call).user
  if (!mayManage(call, user) && !call.rights.allows('SysAudit', '/api/permissions'))
    requireRight(call, 'UserModify', '/api/permissions')
  const found = await users.require(user)
  const key = api_key === undefined ? null : await apiKeys.require(api_key)
  if (key && key.user !== user) throw notFound('API key', key.id)
  return explain(await currentPolicy(), {
    asker: { user, ...(key?.restricted && { restrictedTo: key.id }) },
    isEnabled: found.enabled,
    privilege,
    path,
    circumstances: circumstancesOf(params),
  })
}

/** Violations for users in the changes that do not exist. */
function strangers(changes: Params<C, 'whatIf'>['changes'], known: Set<string>): Violation[] {
  return changes.flatMap((change, i) => {
    const isOfUser = change.change === 'grant' && change.subject.kind === 'user'
    const [field, name] = isOfUser ? ['subject.id', change.subject.id] : ['user', 'user' in change ? change.user : null]
    if (name === null || known.has(name)) return []
    return [{ field: `changes.${i}.${field}`, code: 'unknown', message: `there is no user '${name}'` }]
  })
}

export async function answerWhatIf(params: Params<C, 'whatIf'>): Promise<WhatIf> {
  const conditions = params.changes.flatMap((change, i) =>
    change.change === 'grant' ? conditionViolations(change, `changes.${i}.`) : [],
  )
  const [policy, all] = await Promise.all([loadPolicy(), users.all()])
  const violations = [...conditions, ...strangers(params.changes, new Set(all.map(({ id }) => id)))]
  const enabled = new Set(all.filter((user) => user.enabled).map(({ id }) => id))
  const before = { policy, enabled }
  return whatIf(before, applyChanges(before, params.changes, violations), {
    users: params.users ?? all.map(({ id }) => id),
    resources: params.resources,
    circumstances: circumstancesOf(params),
    limit: params.limit,
  })
}
