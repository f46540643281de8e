import fc from 'fast-check'
import { expect } from 'vitest'
import { applyChanges, type World } from '../../../services/auth/what-if/apply.ts'
import { whatIf } from '../../../services/auth/what-if/what-if.ts'
import { privilegesByTheBook } from './brute-force.ts'
import { changesFor, resources, userNames, worlds } from './policies.ts'

export const moments = fc.record({
  at: fc.date({ min: new Date('2026-03-01T00:00:00Z'), max: new Date('2026-03-14T23:00:00Z'), noInvalidDate: true }),
  address: fc.constantFrom('10.1.2.3', '192.0.2.7', '198.51.100.1', '2001:db8::5', null),
})
export const hour = (at: Date) => new Date(Math.floor(at.getTime() / 3_600_000) * 3_600_000)

/** Every user, path and privilege for which two worlds answer differently, by asking both about each. */
export function differencesByTheBook(before: World, after: World, circumstances: { at: Date; address: string | null }) {
  const found: string[] = []
  for (const user of userNames)
    for (const path of resources) {
      const was = privilegesByTheBook(before, user, path, circumstances)
      const is = privilegesByTheBook(after, user, path, circumstances)
      for (const privilege of is.difference(was)) found.push(`${user} gains ${privilege} on ${path}`)
      for (const privilege of was.difference(is)) found.push(`${user} loses ${privilege} on ${path}`)
    }
  return found.toSorted()
}

/** What-if tells exactly what asking about everything, before and after, tells; on so many generated policies. */
export function whatIfGoesByTheBook(numRuns: number): void {
  const cases = worlds.chain((world) =>
    fc.record({ world: fc.constant(world), changes: changesFor(world), moment: moments }),
  )
  fc.assert(
    fc.property(cases, ({ world, changes, moment }) => {
      const circumstances = { at: hour(moment.at), address: moment.address }
      const after = applyChanges(world, changes)
      const answer = whatIf(world, after, { users: userNames, resources, circumstances, limit: 10_000 })
      const told = answer.data.flatMap(({ user, gains, loses, paths }) =>
        paths.flatMap((path) => [
          ...gains.map((privilege) => `${user} gains ${privilege} on ${path}`),
          ...loses.map((privilege) => `${user} loses ${privilege} on ${path}`),
        ]),
      )
      expect(told.toSorted()).toEqual(differencesByTheBook(world, after, circumstances))
    }),
    { numRuns },
  )
}
