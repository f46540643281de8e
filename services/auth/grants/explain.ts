import type { Explanation, Step } from '#shared/contracts/access/permissions.ts'
import type { Privilege } from '#shared/access/privileges.ts'
import { unmet } from '../policy/conditions.ts'
import { type Applied, type Asker, grantsOf, grantsOfKey } from '../policy/effective.ts'
import { matches, parsePattern } from '../policy/patterns.ts'
import type { Circumstances, Policy } from '../policy/policy.ts'

type Question = { asker: Asker; isEnabled: boolean; privilege: Privilege; path: string; circumstances: Circumstances }

/** Explains an access decision by the same grants from which rights are computed. */
export function explain(policy: Policy, question: Question): Explanation {
  const { asker, isEnabled, privilege, path } = question
  const ofUser = judge(policy, grantsOf(policy, asker.user), question)
  const ofKey =
    asker.restrictedTo === undefined ? null : judge(policy, grantsOfKey(policy, asker.restrictedTo), question)
  const userMay = ofUser.some(isProof)
  const keyMay = ofKey === null || ofKey.some(isProof)
  const allowed = isEnabled && userMay && keyMay
  const steps = [...ofUser, ...(ofKey ?? [])]
  return {
    user: asker.user,
    api_key: asker.restrictedTo ?? null,
    privilege,
    path,
    allowed,
    because: reason(question, userMay, keyMay, steps),
    proof: allowed ? steps.filter(isProof) : [],
    near: allowed ? [] : steps.filter(({ fails }) => fails.length === 1),
  }
}

const isProof = ({ fails }: Step) => fails.length === 0

function judge(policy: Policy, grants: Applied[], question: Question): Step[] {
  return grants.map(({ grant, via }) => {
    const { privilege, path, circumstances } = question
    const pool = coveringPool(policy, grant.path, path)
    const covers = matches(parsePattern(grant.path), parsePattern(path).parts) || pool !== null
    const gives = policy.roles.get(grant.role)?.includes(privilege) ?? false
    const condition = unmet(grant, circumstances)
    const fails: Step['fails'] = [
      ...(gives ? [] : ['privilege' as const]),
      ...(covers ? [] : ['path' as const]),
      ...(condition ? [condition] : []),
    ]
    return { grant: grant.id, subject: grant.subject, role: grant.role, path: grant.path, via, pool, fails }
  })
}

/** The id of the resource pool that a grant covers and that has the resource as a member, or null. */
function coveringPool(policy: Policy, grantPath: string, path: string): string | null {
  const pattern = parsePattern(grantPath)
  if (pattern.parts.length === 0) return null
  const { parts } = parsePattern(path)
  for (const { id, members } of policy.pools.values()) {
    if (!matches(pattern, ['api', 'resource-pools', id])) continue
    if (members.some((member) => matches(parsePattern(`${member}/**`), parts))) return id
  }
  return null
}

function reason({ asker, isEnabled, privilege, path }: Question, userMay: boolean, keyMay: boolean, steps: Step[]) {
  const what = `${privilege} on ${path}`
  if (!isEnabled) return `The user '${asker.user}' is disabled and may do nothing`
  if (!userMay) return `No grant gives '${asker.user}' ${what}, and what is not granted is denied`
  if (!keyMay) return `The API key is restricted, and none of its own grants gives ${what}`
  const { role, path: granted, via, pool } = steps.find(isProof)!
  const by = via.length > 0 ? ` by the group ${via.join(' → ')}` : ''
  const member = pool === null ? '' : `, and ${path} is in the pool '${pool}'`
  return `'${asker.user}' has the role ${role} on ${granted}${by}${member}`
}
