import type { RehearsalEvent } from '#shared/contracts/cluster/rehearsals.ts'
import { guardDeadlineMs } from '#shared/contracts/vm/fencing.ts'
import { beginDrain, moved, nextMove } from './drain.ts'
import { failoverSteps } from './failover.ts'
import { checked, guardActs, happens, sweep } from './hosts.ts'
import { requireInvariants } from './invariants.ts'
import { look, noteLast } from './manager.ts'
import { begin, type Sim, type SimEvent, type Start } from './state.ts'

const lookEveryMs = 5000
const sweepEveryMs = 10_000

/** `deadlineMs`: another one than the product's, for tests that must see an invariant broken. */
export type Wish = { events: readonly RehearsalEvent[]; seconds: number; seed: number; deadlineMs?: number }

function handle(sim: Sim, event: SimEvent): void {
  switch (event.kind) {
    case 'given':
      return event.event.kind === 'node_drains' ? beginDrain(sim, event.event.node) : happens(sim, event.event)
    case 'checked':
      return checked(sim, event.node)
    case 'look':
      look(sim)
      return sim.queue.add(sim.nowMs + lookEveryMs, event)
    case 'sweep':
      sweep(sim)
      return sim.queue.add(sim.nowMs + sweepEveryMs, event)
    case 'guard':
      return guardActs(sim, event)
    case 'failover':
      return failoverSteps(sim, event.vm)
    case 'moved':
      return moved(sim, event.vm)
    case 'drain':
      return nextMove(sim, event.node)
  }
}

/**
 * Simulates events on an inventory: nodes, guards and storage are a model, the decisions are those of the product. It yields
 * after each event, so that a caller can let other work run. The same inventory, events and seed give the same end.
 */
export function* simulating(
  start: Start,
  { events, seconds, seed, deadlineMs = guardDeadlineMs }: Wish,
): Generator<Sim, Sim> {
  const sim = begin(start, events, seed, deadlineMs)
  const untilMs = (Math.max(0, ...events.map(({ at_seconds }) => at_seconds)) + seconds) * 1000
  for (let next = sim.queue.next(); next && next.atMs <= untilMs; next = sim.queue.next()) {
    sim.nowMs = next.atMs
    handle(sim, next.what)
    const vm = 'vm' in next.what ? sim.vms.get(next.what.vm) : undefined
    if (vm) requireInvariants(sim, vm)
    yield sim
  }
  sim.nowMs = untilMs
  noteLast(sim)
  return sim
}

/** The end of a simulation. */
export function simulate(start: Start, wish: Wish): Sim {
  const running = simulating(start, wish)
  for (;;) {
    const { done, value } = running.next()
    if (done) return value
  }
}
