import { activityOf, ranSeconds } from '#shared/nodes/simulated/activity.ts'
import type { World } from '#shared/nodes/simulated/world.ts'
import type { GuestSource } from './guest-source.ts'

const mib = 2 ** 20

/** Measures the guests of a simulation. */
export const simulatedGuests = (world: World): GuestSource => ({
  name: 'simulation',
  measure: async ({ node }) =>
    world.guests
      .all(node.id)
      .filter(({ status }) => status !== 'stopped')
      .map((guest) => {
        const memoryBytes = guest.current.memory * mib
        const seconds = ranSeconds(guest, Date.now())
        return {
          handle: guest.id,
          run: String(guest.runs),
          quality: 'fresh',
          values: {
            up: 1,
            vcpus: guest.current.cpus,
            memory_bytes: memoryBytes,
            ...activityOf(guest.id, seconds, { cpus: guest.current.cpus, memoryBytes }),
          },
        }
      }),
})
