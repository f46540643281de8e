import type { Run } from '#shared/nodes/simulated/activity.ts'
import type { World } from '#shared/nodes/simulated/world.ts'
import { every } from '#shared/runtime/repeat.ts'
import { act, type Made } from '../../services/container/drivers/simulated/simulated.ts'
import { guestsOf } from '../../services/vm/drivers/simulated/guests.ts'

const tickMs = 250
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

/** Guests and containers, and the change of one. */
function thingsOf(world: World): (Run & { change: (verb: 'start' | 'stop') => Promise<void> })[] {
  const guests = guestsOf(world)
  return [
    ...world.guests.all().map((guest) => ({
      ...guest,
      change: (verb: 'start' | 'stop') => guests.act({ node: guest.node, handle: guest.id }, verb),
    })),
    ...world.containers.all().map((container) => ({
      ...container,
      // All containers of a simulation are of this driver.
      change: (verb: 'start' | 'stop') => act(world, container as Made, verb),
    })),
  ]
}

/**
 * Starts and stops random guests and containers, as their users and their nodes do, and not Horcrux.
 * @returns a function that stops it
 */
export function liveOn(world: World, changesPerSecond: number): () => void {
  let owed = 0
  const turn = async () => {
    owed += (changesPerSecond * tickMs) / 1000
    if (owed < 1) return
    const things = thingsOf(world)
    for (let draws = Math.ceil(owed) * mostDraws; owed >= 1 && draws > 0; draws--) {
      const thing = things[Math.floor(Math.random() * things.length)]
      const verb = thing && nextVerb(thing, Math.random())
      if (!verb) continue
      await thing.change(verb)
      owed--
    }
  }
  return every(tickMs, turn, { part: 'fleet', failed: 'the fleet does not change by itself' })
}
