import { after } from '#shared/nodes/simulated/activity.ts'
import type { SimulatedGuest, World } from '#shared/nodes/simulated/world.ts'
import type { Definition, Guest } from '../guest.ts'

type Verb = Parameters<typeof after>[0]

/** The guests of a simulation, with the events of their changes. */
export type Guests = {
  find: (guest: Pick<Guest, 'node' | 'handle'>) => SimulatedGuest | null
  save: (guest: SimulatedGuest) => Promise<void>
  /** Changes the state of a guest; one that is in another state, or gone, is fine. */
  act: (guest: Pick<Guest, 'node' | 'handle'>, verb: Verb) => Promise<void>
}

export function guestsOf(world: World): Guests {
  const find: Guests['find'] = ({ node, handle }) => world.guests.get(node, handle)
  const save: Guests['save'] = async (guest) => {
    await world.guests.put(guest)
    world.tell(guest.node, guest.id, guest.status)
  }
  return {
    find,
    save,
    act: async (guest, verb) => {
      const found = find(guest)
      const run = found && after(verb, found, Date.now())
      // A guest that starts has the sizes of its definition.
      if (found && run) await save({ ...found, ...run, ...(verb === 'start' && { current: found.sizes }) })
    },
  }
}

/** A guest of the simulation as a definition describes it, with the state of the one that is there. */
export function defined(vm: Definition, there: SimulatedGuest | null): SimulatedGuest {
  const { memory, cpus, balloon, max_cpus, autostart } = vm
  const sizes = { memory, cpus, balloon, max_cpus, autostart }
  const off = { status: 'stopped' as const, runs: 0, since: null, ran_ms: 0, current: sizes, kept: [] }
  return {
    ...(there ?? off),
    id: vm.handle,
    node: vm.node,
    name: vm.name,
    sizes,
    disks: vm.disks.map(({ id, size_bytes }) => ({ id, size_bytes })),
    nics: vm.nics.map(({ mac }) => mac),
  }
}
