import { expect, test } from 'vitest'
import type { Privilege } from '#shared/access/privileges.ts'
import { applyChanges } from '../../../services/auth/what-if/apply.ts'
import { whatIf } from '../../../services/auth/what-if/what-if.ts'
import { accessRightsGoByTheBook, whatIfIsNotSilent } from './rights-property.ts'
import { whatIfGoesByTheBook } from './what-if-property.ts'

test('what-if tells exactly what asking about everything before and after tells', () => whatIfGoesByTheBook(100))

test('compiled rights and explain decide as the book does (a sample)', () => accessRightsGoByTheBook({ numRuns: 300 }))

test('without resources, what-if speaks of every path there can be (a sample)', () =>
  whatIfIsNotSilent({ numRuns: 60 }))

test('1,000 users with rights of their own and 10,000 resources are compared in under 2 s', () => {
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
  const started = performance.now()
  const circumstances = { at: new Date(), address: null }
  const answer = whatIf(before, after, { users, resources: paths, circumstances, limit: 1000 })
  const tookMs = performance.now() - started
  expect(answer).toMatchObject({ users_changed: 1000, total: 10_000_000, truncated: true })
  expect(tookMs).toBeLessThan(2000)
})
