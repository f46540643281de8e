import { setTimeout as delay } from 'node:timers/promises'
import type { MoveProgress } from '#shared/contracts/vm/moves.ts'
import { ConflictError } from '#shared/errors.ts'
import { fraction } from '#shared/nodes/simulated/activity.ts'
import type { SimulatedGuest, World } from '#shared/nodes/simulated/world.ts'
import type { Relocation, Side } from '../relocation.ts'
import { defined, type Guests } from './guests.ts'

const mib = 2 ** 20
/** Parts in which a move reports its progress, and the time of each. */
const steps = 10
const stepMs = 200

const sideOf = (guest: SimulatedGuest | null): Side =>
  guest === null ? 'absent' : guest.status === 'stopped' ? 'off' : guest.status

/** The numbers of a move after some of its steps. */
function progressAt(step: number, memoryMib: number): MoveProgress {
  const total = memoryMib * mib
  const done = Math.round((total * step) / steps)
  return {
    ram_total_bytes: total,
    ram_transferred_bytes: done,
    ram_remaining_bytes: total - done,
    disk_total_bytes: 0,
    disk_transferred_bytes: 0,
    rate_bytes_per_second: Math.round(total / ((steps * stepMs) / 1000)),
    dirty_bytes_per_second: null,
    iteration: step,
    throttle_percent: null,
    elapsed_ms: step * stepMs,
    downtime_ms: 40,
  }
}

/** Moves of guests between the nodes of a simulation. */
export function simulatedRelocation(world: World, { find, save }: Guests): Relocation {
  /** Moves that run, and those that have ended. */
  const [running, ended] = [new Map<string, MoveProgress>(), new Map<string, MoveProgress>()]
  return {
    check: async () => ({ violations: [], warnings: [] }),
    sides: async (guest, target) => ({
      source: sideOf(find(guest)),
      target: sideOf(find({ ...guest, node: target })),
    }),
    abort: async () => undefined,
    move: async (vm, { target }, { signal, onProgress }) => {
      try {
        for (let step = 1; step <= steps; step++) {
          await delay(stepMs, undefined, { signal })
          const progress = progressAt(step, vm.memory)
          running.set(vm.id, progress)
          onProgress(progress)
        }
        const there = find(vm)
        if (!there || there.status === 'stopped')
          throw new ConflictError(`'${vm.name}' has ended on '${vm.node}' while it moved`)
        await world.guests.remove(vm.node, vm.handle)
        await save({ ...there, node: target })
        world.tell(vm.node, vm.handle, 'migrated')
        ended.set(vm.id, progressAt(steps, vm.memory))
      } finally {
        running.delete(vm.id)
      }
    },
    reunite: async () => undefined,
    progress: async ({ id }) => running.get(id) ?? null,
    measured: async ({ id }) => ended.get(id) ?? null,
    carry: (vm, { target }) => save(defined({ ...vm, node: target }, find(vm))),
    probe: async (guest) => {
      const there = find(guest)
      return there && there.status !== 'stopped'
        ? { error: null, cpus: there.current.cpus, brokenDisks: [] }
        : { error: 'The guest does not run', cpus: null, brokenDisks: [] }
    },
    dirtyMibPerSecond: async ({ id }) => Math.round(1 + 30 * fraction(id, 'dirty') ** 3),
    announce: async () => undefined,
  }
}
