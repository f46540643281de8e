import type { Privilege } from '#shared/access/privileges.ts'
import { applyChanges } from '../../../services/auth/what-if/apply.ts'

/** A what-if question of 1,000 users with rights of their own and 10,000 resources: a role of all users gets wider. */
export function manyUsers() {
  const users = Array.from({ length: 1000 }, (_, i) => `user${i}`)
  const paths = Array.from({ length: 10_000 }, (_, i) => `/api/vms/vm-${i}`)
  const grants = users.flatMap((id, i) =>
    Array.from({ length: 10 }, (_, k) => ({
      id: `${i}-${k}`,
      subject: { kind: 'user' as const, id },
      role: 'Custom',
      path: `/api/vms/vm-${(i * 10 + k * 37) % 10_000}`,
    })),
  )
  const group = { id: 'all', parents: [], members: users }
  const policy = {
    grants: [...grants, { id: 'g', subject: { kind: 'group' as const, id: 'all' }, role: 'Wide', path: '/api/vms/*' }],
    roles: new Map<string, readonly Privilege[]>([
      ['Custom', ['VmAudit']],
      ['Wide', ['VmAudit']],
    ]),
    groups: new Map([['all', group]]),
    pools: new Map(),
  }
  const before = { policy, enabled: new Set(users) }
  const after = applyChanges(before, [{ change: 'role', name: 'Wide', privileges: ['VmAudit', 'VmConsole'] }])
  return {
    before,
    after,
    question: { users, resources: paths, circumstances: { at: new Date(), address: null }, limit: 1000 },
  }
}
