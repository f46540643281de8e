import type { Privilege } from '#shared/access/privileges.ts'
import type { PolicyGrant } from '../../../services/auth/policy/policy.ts'
import type { World } from '../../../services/auth/what-if/apply.ts'

/**
 * What a user may do on a path, worked out as the specification says it, one sentence after the other, as slowly as it may be. It
 * shares nothing with the code that it judges: paths by regular expressions, addresses by numbers, clocks by offsets.
 */
export function privilegesByTheBook(
  { policy, enabled }: World,
  user: string,
  path: string,
  { at, address }: { at: Date; address: string | null },
): Set<Privilege> {
  if (!enabled.has(user)) return new Set()
  const isIn = (group: string, seen: string[]): boolean => {
    if (seen.includes(group)) return false
    if (policy.groups.get(group)?.members.includes(user)) return true
    // A child inherits its parents' grants: who is in a child has what is granted to the parent.
    return [...policy.groups.values()].some(({ id, parents }) => parents.includes(group) && isIn(id, [...seen, group]))
  }
  const concerns = ({ subject }: PolicyGrant) =>
    (subject.kind === 'user' && subject.id === user) || (subject.kind === 'group' && isIn(subject.id, []))
  const covers = (granted: string, path: string): boolean => {
    if (pattern(granted).test(path)) return true
    if (granted === '/') return true
    return [...policy.pools.values()].some(
      ({ id, members }) =>
        pattern(granted).test(`/api/resource-pools/${id}`) &&
        members.some((member) => path === member || path.startsWith(`${member}/`)),
    )
  }
  const holding = policy.grants.filter(
    (grant) =>
      concerns(grant) &&
      covers(grant.path, path) &&
      (grant.expires_at === undefined || at < new Date(grant.expires_at)) &&
      (grant.networks === undefined ||
        address === null ||
        grant.networks.some((network) => isFrom(address, network))) &&
      (grant.hours === undefined || isOpen(grant.hours, at)),
  )
  return new Set(holding.flatMap(({ role }) => [...(policy.roles.get(role) ?? [])]))
}

function pattern(granted: string): RegExp {
  if (granted === '/' || granted === '/**') return /^\//
  if (granted.endsWith('/**')) return new RegExp(`^${granted.slice(0, -3)}(/.+)?$`)
  if (granted.endsWith('/*')) return new RegExp(`^${granted.slice(0, -2)}(/[^/]+)?$`)
  return new RegExp(`^${granted}$`)
}

const numberOf = (ip: string) => ip.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0)

function isFrom(address: string, network: string): boolean {
  if (network.includes(':')) return address.startsWith('2001:db8:')
  if (address.includes(':')) return false
  const [base, length = '32'] = network.split('/')
  const size = 2 ** (32 - Number(length))
  return Math.floor(numberOf(address) / size) === Math.floor(numberOf(base!) / size)
}

const offsets: Record<string, number> = { UTC: 0, 'Asia/Tokyo': 9 }
const hourOf = (time: string) => Number(time.split(':')[0])

function isOpen({ timezone, windows }: NonNullable<PolicyGrant['hours']>, at: Date): boolean {
  const local = new Date(at.getTime() + offsets[timezone]! * 3_600_000)
  const [day, hour] = [local.getUTCDay(), local.getUTCHours()]
  return windows.some(({ days, from, until }) => {
    for (const begin of days) {
      const length = (hourOf(until) - hourOf(from) + 24) % 24 || 24
      for (let step = 0; step < length; step++) {
        const slot = begin * 24 + hourOf(from) + step
        if (slot % (7 * 24) === day * 24 + hour) return true
      }
    }
    return false
  })
}
