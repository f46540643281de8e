import { decide, type Decision, type HaWorld } from '../ha/decide.ts'
import { isOwedNow, isSeenRunning } from '../ha/note.ts'
import { placesIn } from '../ha/places.ts'
import { holdOffOf, isolationOf, type Looked, quarantineMs, stateOf, track } from '../ha/track.ts'
import { beginFailover } from './failover.ts'
import { type Sim, type SimVm, tell, worldOf } from './state.ts'

type Protected = SimVm & { ha: NonNullable<SimVm['ha']> }
const protectedOf = (sim: Sim) => [...sim.vms.values()].filter((vm): vm is Protected => vm.ha !== null)

const lookedAt = (sim: Sim): Looked[] =>
  [...sim.nodes.values()].map(({ id, isOnline, isRemote, isConfirmedOff }) => ({
    id,
    isOnline,
    isRemote,
    isConfirmedOff: !isOnline && isConfirmedOff,
  }))

/** Notes of a VM, as the watch of HA makes them. */
function note(sim: Sim, vm: Protected): void {
  const isOnline = sim.nodes.get(vm.node)?.isOnline === true
  const isLost = vm.ha.ran?.node === vm.node && vm.ha.ran.isLost
  const noted = { status: vm.status, isWanted: vm.isWanted, isOnline, isLost }
  vm.ha.runningSince = isSeenRunning(noted) ? (vm.ha.runningSince ?? sim.nowMs) : null
  const isOwed = isOwedNow(vm.ha.isOwed, noted)
  if (isOwed !== vm.ha.isOwed) sim.revision += 1
  vm.ha.isOwed = isOwed
  const since = vm.ha.runningSince
  if (since !== null && sim.nowMs - since > vm.ha.rules.stable_seconds * 1000) vm.ha.attempts.length = 0
}

/** The decisions about the VMs under HA at this moment. @param holder a VM that the caller holds itself */
function decisionsOf(sim: Sim, looked: Looked[], holder?: string): Map<string, Decision> {
  const all = protectedOf(sim)
  const inventory = worldOf(sim)
  const world: HaWorld = {
    nodes: looked.map((node) => ({
      id: node.id,
      isConfirmedOff: node.isConfirmedOff,
      state: stateOf(sim.tracker, node),
    })),
    isolation: isolationOf(looked),
    vms: all.map(({ id, node, status, isWanted, work, bound, ha }) => ({
      id,
      node,
      tier: ha.tier,
      status,
      isWanted,
      isOwed: ha.isOwed,
      isBusy: work !== null && id !== holder,
      lostStorage: (ha.ran?.node === node && ha.ran.storage) || null,
      goesTo: work?.kind === 'failover' ? work.to : null,
      isGuarded: ha.hasLease && ha.isGuarded,
      acceptsDeadline: ha.rules.least_proof === 'deadline',
      bound,
      restarts: ha.attempts.filter(({ from, to }) => from === to).length,
      relocations: ha.attempts.filter(({ from, to }) => from !== to).length,
      maxRestarts: ha.rules.max_restarts,
      maxRelocations: ha.rules.max_relocations,
      holdOff: holdOffOf(sim.tracker, looked, ha.rules.hold_off_seconds * 1000, sim.nowMs),
    })),
    placesFor: (id, given) => {
      const { ha } = sim.vms.get(id) as Protected
      const quarantineSecondsOf = (node: string) => Math.ceil(quarantineMs(sim.tracker, node, sim.nowMs) / 1000)
      // The check before each start reads the lease on the target.
      const refusalOf = (node: string) =>
        ha.hasLease && sim.nodes.get(node)?.storageLostAt !== null ? 'it does not reach its storage' : null
      const own = { id, oldNodes: [...ha.oldNodes], rules: ha.rules }
      return placesIn(inventory, own, given, { quarantineSecondsOf, refusalOf, first: sim.start.first })
    },
  }
  return decide(world)
}

/** True when a decision can be another one by time alone. */
const isTimed = (sim: Sim, looked: Looked[], all: Protected[]) =>
  looked.some(
    (node) => stateOf(sim.tracker, node) === 'suspect' || quarantineMs(sim.tracker, node.id, sim.nowMs) > 0,
  ) || all.some(({ ha }) => holdOffOf(sim.tracker, looked, ha.rules.hold_off_seconds * 1000, sim.nowMs) !== null)

/** One turn of the watch of HA. */
export function look(sim: Sim): void {
  const all = protectedOf(sim)
  if (all.length === 0) return
  const looked = lookedAt(sim)
  const before = looked.map((node) => stateOf(sim.tracker, node)).join()
  sim.tracker = track(sim.tracker, looked, sim.nowMs)
  if (looked.map((node) => stateOf(sim.tracker, node)).join() !== before) sim.revision += 1
  for (const node of sim.nodes.values()) if (node.isOnline) node.isConfirmedOff = false
  for (const vm of all) note(sim, vm)
  if (!all.some(({ ha, isWanted }) => ha.isOwed && isWanted)) return
  if (sim.decidedAt === sim.revision && !isTimed(sim, looked, all)) return
  sim.decidedAt = sim.revision
  const decisions = decisionsOf(sim, looked)
  for (const vm of all) {
    const decision = decisions.get(vm.id)!
    if (vm.ha.isOwed) noteReason(sim, vm, decision)
    if (decision.kind !== 'start' || !vm.ha.rules.automatic) continue
    // The operation decides again when it is accepted.
    const again = decisionsOf(sim, looked, vm.id).get(vm.id)!
    if (again.kind === 'start') beginFailover(sim, vm, again.to, again.isConfirmed, again.reason)
    else vm.reason = again.reason
  }
}

function noteReason(sim: Sim, vm: Protected, { kind, reason }: Decision): void {
  const attention = kind === 'needs_attention' ? reason : null
  if (attention !== null && vm.ha.attention === null) tell(sim, vm.id, `it needs a user: ${reason}`)
  vm.ha.attention = attention
  if (vm.work === null) vm.reason = reason
}

/** Notes for each VM under HA that is down in the end what HA says of it then. */
export function noteLast(sim: Sim): void {
  const down = protectedOf(sim).filter(({ guests, work }) => guests.size === 0 && work === null)
  if (down.length === 0) return
  const decisions = decisionsOf(sim, lookedAt(sim))
  for (const vm of down) vm.reason = decisions.get(vm.id)!.reason
}
