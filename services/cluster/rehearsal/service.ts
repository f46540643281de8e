import { setImmediate as turn } from 'node:timers/promises'
import { rehearsals } from '#shared/contracts/cluster/rehearsals.ts'
import { ConflictError, type Violation } from '#shared/errors.ts'
import { implement } from '#shared/service/implement.ts'
import { throwAll } from '#shared/service/violations.ts'
import { readStart } from './load.ts'
import { simulating, type Wish } from './simulate.ts'
import type { Sim, Start } from './state.ts'
import { tellRehearsal } from './tell.ts'

/** Work of a simulation at a stretch, between which others get their turn. */
const sliceMs = 10

/** Simulates in slices. @throws ConflictError for one that takes too long */
async function inSlices(start: Start, wish: Wish, mostMs: number): Promise<Sim> {
  const running = simulating(start, wish)
  for (let workedMs = 0; workedMs < mostMs;) {
    const begin = performance.now()
    while (performance.now() - begin < sliceMs) {
      const { done, value } = running.next()
      if (done) return value
    }
    workedMs += performance.now() - begin
    await turn()
  }
  throw new ConflictError(
    `The rehearsal takes more than ${mostMs / 1000} s of work: give it more time, name fewer events, or simulate a shorter time`,
  )
}

export const rehearsalService = implement(rehearsals, {
  rehearse: async ({ events, seconds, seed, timeout }) => {
    const start = await readStart(new Set(events.map(({ node }) => node)))
    const known = new Set(start.world.nodes.map(({ id }) => id))
    const violations = events.flatMap(({ node }, index): Violation[] =>
      known.has(node)
        ? []
        : [{ field: `events.${index}.node`, code: 'not_found', message: `Node '${node}' not found` }],
    )
    throwAll(violations)
    return tellRehearsal(await inSlices(start, { events, seconds, seed }, timeout * 1000), events, seed)
  },
})
