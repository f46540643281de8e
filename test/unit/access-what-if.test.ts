import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileRights } from '#shared/access.ts'
import { type Privilege, privileges } from '#shared/privileges.ts'
import { explain } from '../../services/auth/explain.ts'
import { effectiveRights } from '../../services/auth/policy/effective.ts'
import { applyChanges } from '../../services/auth/what-if/apply.ts'
import { whatIf } from '../../services/auth/what-if/what-if.ts'
import { privilegesByTheBook } from './access-brute-force.ts'
import { differencesByTheBook, hour, moments, whatIfGoesByTheBook } from './access-what-if-property.ts'
import { changesFor, resources, userNames, worlds } from './access-policies.ts'

test('what-if tells exactly what asking about everything before and after tells', () => whatIfGoesByTheBook(100))

test('compiled rights and explain decide as the book does', () => {
  const cases = fc.record({
    world: worlds,
    user: fc.constantFrom(...userNames),
    path: fc.constantFrom(...resources),
    privilege: fc.constantFrom<Privilege>(...privileges),
    moment: moments,
  })
  fc.assert(
    fc.property(cases, ({ world, user, path, privilege, moment }) => {
      const circumstances = { at: hour(moment.at), address: moment.address }
      const expected = privilegesByTheBook(world, user, path, circumstances).has(privilege)
      const isEnabled = world.enabled.has(user)
      const rights = compileRights(effectiveRights(world.policy, { user }, circumstances))
      expect(isEnabled && rights.allows(privilege, path)).toBe(expected)
      const explained = explain(world.policy, { asker: { user }, isEnabled, privilege, path, circumstances })
      expect(explained.allowed).toBe(expected)
      expect(explained.proof.length > 0).toBe(expected)
    }),
    { numRuns: 2000 },
  )
}, 60_000)

test('without resources, what-if speaks of every path there can be', () => {
  const cases = worlds.chain((world) => fc.record({ world: fc.constant(world), changes: changesFor(world) }))
  const circumstances = { at: new Date('2026-03-02T09:00:00Z'), address: null }
  fc.assert(
    fc.property(cases, ({ world, changes }) => {
      const after = applyChanges(world, changes)
      const answer = whatIf(world, after, { users: userNames, circumstances, limit: 10_000 })
      const byTheBook = differencesByTheBook(world, after, circumstances)
      const isSilent = answer.total === 0
      expect(isSilent && byTheBook.length > 0).toBe(false)
      const usersTold = new Set(answer.data.map(({ user }) => user))
      for (const line of byTheBook) expect(usersTold).toContain(line.split(' ')[0])
    }),
    { numRuns: 300 },
  )
}, 60_000)

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
