import { type Grant, type NewGrant, permissions as contract } from '#shared/contracts/access/permissions.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { ValidationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { subjectOf } from '#shared/access/access.ts'
import { removeGrantsOn, grantsAt } from './remove-grants.ts'
import { apiKeys, grants, groups, type StoredGrant, users } from '../models.ts'
import { conditionViolations } from '../policy/conditions.ts'
import { grantsOf, grantsOfKey } from '../policy/effective.ts'
import { refuseEscalation, requireAdministrator, rightsOfRole } from '../policy/escalation.ts'
import { canonicalPattern } from '../policy/patterns.ts'
import { changePolicy, currentPolicy, policyChanged } from '../policy/store.ts'
import { isOn, poolsOf, witnessesOf } from '../policy/witnesses.ts'
import { discountEverywhere } from '../resource-pools/account.ts'
import { memberAt } from '../resource-pools/model.ts'
import { answerExplain, answerWhatIf } from './permission-queries.ts'
import { requireRole } from './roles.ts'

const holders = {
  user: { collection: users, called: 'user' },
  group: { collection: groups, called: 'group' },
  api_key: { collection: apiKeys, called: 'API key' },
} as const

/** Checks a new grant: subject, role, path and conditions. @throws ValidationError with all violations */
async function checkGrant(grant: NewGrant): Promise<void> {
  const { subject, role } = grant
  const { collection, called } = holders[subject.kind]
  const violations = conditionViolations(grant)
  if (!(await collection.get(subject.id)))
    violations.push({ field: 'subject.id', code: 'unknown', message: `there is no ${called} '${subject.id}'` })
  if (!(await currentPolicy()).roles.has(role))
    violations.push({ field: 'role', code: 'unknown', message: `there is no role '${role}'` })
  if (violations.length > 0) throw new ValidationError(violations)
}

/** Filter of visible grants: without the right to manage grants, a caller sees only grants to itself and its groups. */
async function visibleTo(call: Call): Promise<Record<string, unknown>> {
  const { caller, rights } = call
  if (caller.kind !== 'user' || rights.allows('UserModify', '/api/permissions')) return {}
  if (rights.allows('SysAudit', '/api/permissions')) return {}
  const policy = await currentPolicy()
  const own = [...grantsOf(policy, caller.user)]
  for (const { id } of await apiKeys.all({ user: caller.user })) own.push(...grantsOfKey(policy, id))
  return { _id: { $in: own.map(({ grant }) => grant.id) } }
}

const grantView = (grant: StoredGrant): Grant => grant

/** Actions on grants. */
export const permissionActions = implement(contract, {
  list: async ({ filter, ...query }, call) => {
    const everything = { all: true, item: () => true }
    const asked = { ...query, filter: placed(filter, { subject: 'subject.id' }) }
    return grants.list(asked, everything, await visibleTo(call))
  },

  create: async ({ id, ...given }, call) => {
    await checkGrant(given)
    const path = canonicalPattern(given.path)
    return changePolicy(
      async (policy) => {
        requireRole(policy, given.role, 'role')
        const lasting = { policy, until: given.expires_at }
        refuseEscalation(call, rightsOfRole(policy, given.role, path), `grant ${given.role} there`, lasting)
        const record = { ...given, path, created_at: now(), created_by: subjectOf(call.caller) }
        return grantView(await grants.insert({ id: id ?? newId(), ...record }))
      },
      given.subject.kind === 'user' ? given.subject.id : undefined,
    )
  },

  delete: async ({ id }, call) =>
    changePolicy(async (policy) => {
      const grant = await grants.requireForChange(id)
      refuseEscalation(call, rightsOfRole(policy, grant.role, grant.path), 'take it from others')
      const after = { ...policy, grants: policy.grants.filter((other) => other.id !== id) }
      requireAdministrator(
        after,
        (await users.all({ enabled: true })).map((user) => user.id),
      )
      await removeGrantsOn(`/api/permissions/${id}`)
      await grants.remove(grant)
      return null
    }),

  explain: (params, call) => answerExplain(params, call),
  whatIf: (params) => answerWhatIf(params),

  witnesses: async ({ path, privilege }) => {
    const policy = await currentPolicy()
    const pools = poolsOf(policy, path)
    if (!policy.grants.some((grant) => isOn(grant, path))) return { pools, witnesses: [] }
    const keys = await apiKeys.all({ restricted: true })
    return { pools, witnesses: witnessesOf(policy, keys, { path, privilege, at: new Date() }) }
  },

  forget: async ({ path }) => {
    const member = memberAt(path)
    const wasMember = member !== null && (await discountEverywhere(member))
    if ((await grants.find(grantsAt(path))) === null) {
      if (wasMember) await policyChanged()
      return null
    }
    return changePolicy(async () => {
      await removeGrantsOn(path)
      return null
    })
  },
})
