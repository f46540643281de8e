import type { EngineKind } from '#shared/contracts/cluster/nodes.ts'
import { UnavailableError } from '#shared/errors.ts'
import { type Engine, type EngineDriver, healthBy } from '../engine.ts'
import type { World } from './world.ts'

const version = 'simulated'

/** The driver of one kind of engine in a simulation: a node has the engines that the simulation gives it. */
export function simulatedEngine(world: World, kind: EngineKind): EngineDriver<unknown> {
  return {
    connect: ({ node, name }) => {
      const isThere = () => world.nodes.get(node, node)?.engines.includes(kind) === true
      const facts = async () => {
        if (!isThere()) throw new UnavailableError(`Node '${name}' has no ${kind} in this simulation`)
        return { version, components: {} }
      }
      const ends = new Set<() => void>()
      const events: Engine['events'] = (listener) => {
        if (!isThere()) return () => undefined
        const end = world.follow(node, listener)
        ends.add(end)
        queueMicrotask(() => ends.has(end) && listener({ kind: 'connected' }))
        return () => {
          ends.delete(end)
          end()
        }
      }
      return {
        facts,
        health: () => healthBy(facts, async () => (isThere() ? null : `This simulation has no ${kind} here`)),
        events,
        isConnected: isThere,
        close: async () => {
          for (const end of ends) end()
          ends.clear()
        },
      }
    },
  }
}
