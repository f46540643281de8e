import fc from 'fast-check'
import { expect } from 'vitest'
import { compileRights } from '#shared/access/access.ts'
import { type Privilege, privileges } from '#shared/access/privileges.ts'
import { explain } from '../../../services/auth/grants/explain.ts'
import { effectiveRights } from '../../../services/auth/policy/effective.ts'
import { applyChanges } from '../../../services/auth/what-if/apply.ts'
import { whatIf } from '../../../services/auth/what-if/what-if.ts'
import { privilegesByTheBook } from './brute-force.ts'
import { changesFor, resources, userNames, worlds } from './policies.ts'
import { differencesByTheBook, hour, moments } from './what-if-property.ts'

type Runs = { numRuns: number; seed?: number }

/** Compiled rights and explain decide as the book does. */
export function accessRightsGoByTheBook(runs: Runs): void {
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
    runs,
  )
}

/** Without resources, what-if speaks of every path there can be. */
export function whatIfIsNotSilent(runs: Runs): void {
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
    runs,
  )
}
