import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { SimulatedGuest, World } from '#shared/nodes/simulated/world.ts'
import type { Hypervisor, Status } from '../driver.ts'
import { defined, guestsOf } from './guests.ts'
import { simulatedParts } from './parts.ts'
import { simulatedRelocation } from './relocation.ts'

const statusOf = (guest: SimulatedGuest | null): Status => ({ status: guest?.status ?? 'stopped', status_reason: null })

/** Time that a simulated guest takes to shut down. */
const shutdownMs = 800

/**
 * Guests that exist in a simulation only.
 * @param real the hypervisor in whose place it stands: its names and its engine stay
 */
export function simulatedHypervisor(world: World, real: Pick<Hypervisor, 'naming' | 'engineOf'>): Hypervisor {
  const guests = guestsOf(world)
  const { find, save, act } = guests
  return {
    naming: real.naming,
    engineOf: real.engineOf,

    defaults: async () => ({ accel: 'kvm', cpu_model: null, firmware: 'uefi', graphics: [], video: 'none' }),
    check: async (reached) => {
      const health = await real.engineOf(reached).health()
      return health.status === 'online' ? [] : [{ field: 'node', code: 'unavailable', message: health.reason }]
    },
    define: async (vm) => save(defined(vm, find(vm))),
    undefine: async ({ node, handle }) => {
      await world.guests.remove(node, handle)
      world.tell(node, handle, 'removed')
    },
    start: async (guest) => {
      if (!find(guest)) throw new NotFoundError(`Node '${guest.node}' has no guest '${guest.name}' in the simulation`)
      await act(guest, 'start')
    },
    stop: (guest) => act(guest, 'stop'),
    shutdown: async (guest, mode) => {
      if (mode === 'agent' && find(guest)?.status !== 'running')
        throw new ConflictError(`The agent of '${guest.name}' does not answer: the guest does not run`)
      // The caller does not wait for the end.
      void delay(shutdownMs).then(() => act(guest, 'stop'))
    },
    status: async (guest) => statusOf(find(guest)),
    statuses: async ({ node }) => new Map(world.guests.all(node.id).map((guest) => [guest.id, statusOf(guest)])),
    events: (reached, listener) =>
      real
        .engineOf(reached)
        .events((event) => listener(event.kind === 'object' ? { kind: 'guest', handle: event.id } : event)),

    ...simulatedParts(guests),
    relocation: simulatedRelocation(world, guests),
  }
}
