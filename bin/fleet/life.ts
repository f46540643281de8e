import type { Run } from '#shared/nodes/simulated/activity.ts'
import type { World } from '#shared/nodes/simulated/world.ts'
import { every } from '#shared/runtime/repeat.ts'
import { act, type Made } from '../../services/container/drivers/simulated/simulated.ts'
import { guestsOf } from '../../services/vm/drivers/simulated/guests.ts'

const tickMs = 250
const listEveryMs = 10_000
/** Share of the fleet that runs, in the long run. */
const runningShare = 0.87
/** Draws for one change: most things stay as they are. */
const mostDraws = 40

/** The next change of a thing by itself. A paused one stays paused. @param random from 0 to 1 */
export function nextVerb({ status }: Pick<Run, 'status'>, random: number): 'start' | 'stop' | null {
  if (status === 'paused') return null
  // As many start as stop when so many run.
  if (status === 'stopped') return random < runningShare ? 'start' : null
  return random < 1 - runningShare ? 'stop' : null
}

type Place = { node: string; id: string }
type Changing = {
  places: () => Place[]
  get: (place: Place) => Run | null
  change: (place: Place, verb: 'start' | 'stop') => Promise<void>
}

/** The guests, and the containers, each with their way to change one. */
function kindsOf(world: World): Changing[] {
  const placesOf = (things: readonly Place[]) => things.map(({ node, id }) => ({ node, id }))
  const guests = guestsOf(world)
  // All containers of a simulation are of this driver.
  const container = ({ node, id }: Place) => world.containers.get(node, id) as Made | null
  return [
    {
      places: () => placesOf(world.guests.all()),
      get: ({ node, id }) => world.guests.get(node, id),
      change: ({ node, id }, verb) => guests.act({ node, handle: id }, verb),
    },
    {
      places: () => placesOf(world.containers.all()),
      get: container,
      change: async (place, verb) => {
        const found = container(place)
        if (found) await act(world, found, verb)
      },
    },
  ]
}

/**
 * Starts and stops random guests and containers, as their users and their nodes do, and not Horcrux.
 * @returns a function that stops it
 */
export function liveOn(world: World, changesPerSecond: number): () => void {
  const kinds = kindsOf(world)
  let all: { kind: Changing; place: Place }[] = []
  let listedAt = -Infinity
  let owed = 0
  const turn = async () => {
    owed += (changesPerSecond * tickMs) / 1000
    if (owed < 1) return
    // New ones are found with the next list; those that are gone meanwhile are left out.
    if (performance.now() - listedAt > listEveryMs) {
      all = kinds.flatMap((kind) => kind.places().map((place) => ({ kind, place })))
      listedAt = performance.now()
    }
    for (let draws = Math.ceil(owed) * mostDraws; owed >= 1 && draws > 0; draws--) {
      const { kind, place } = all[Math.floor(Math.random() * all.length)] ?? {}
      const run = kind && place ? kind.get(place) : null
      const verb = run && nextVerb(run, Math.random())
      if (!kind || !place || !verb) continue
      await kind.change(place, verb)
      owed--
    }
  }
  return every(tickMs, turn, { part: 'fleet', failed: 'the fleet does not change by itself' })
}
