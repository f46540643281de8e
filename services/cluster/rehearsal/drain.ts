import { planMoves } from '../drain/plan.ts'
import { brokenRules, lacking } from '../placement/room.ts'
import { requireInvariants } from './invariants.ts'
import { between, guestStarts, isReached, type Move, observe, type Sim, type SimVm, tell, worldOf } from './state.ts'

/** Begins a drain as the product plans it; one that is impossible moves nothing. */
export function beginDrain(sim: Sim, id: string): void {
  const node = sim.nodes.get(id)!
  if (!node.isOnline) return tell(sim, id, 'it does not answer, so that it cannot be drained')
  if (sim.drains.has(id)) return
  const world = worldOf(sim)
  const movers = world.vms.filter((vm) => vm.node === id && vm.isRunning)
  const targets = world.nodes.filter((each) => each.id !== id)
  const plan = planMoves(world, id, { movers, targets, stays: [], bandwidthMib: sim.start.bandwidthMib })
  if (plan.status !== 'possible') {
    const why = plan.conflicts.map(({ constraints }) => constraints.map(({ text }) => text).join('; ')).join(' | ')
    sim.drainConflicts.push(...plan.conflicts)
    sim.areDrainConflictsKnown &&= plan.are_all_conflicts_known
    for (const { id: vm } of movers) touch(sim, vm, `the drain of '${id}' is ${plan.status}`)
    return tell(sim, id, `its drain is ${plan.status}${why === '' ? '' : `: ${why}`}`)
  }
  node.inMaintenance = true
  sim.revision += 1
  tell(sim, id, `its drain begins: ${plan.moves.length} guests move`)
  sim.drains.set(
    id,
    plan.moves.map(({ vm_id, to }) => ({ vm: vm_id, to })),
  )
  sim.queue.add(sim.nowMs, { kind: 'drain', node: id })
}

function touch(sim: Sim, id: string, reason: string): void {
  const vm = sim.vms.get(id)!
  vm.wasTouched = true
  vm.reason = reason
}

function stopDrain(sim: Sim, id: string, why: string): void {
  for (const { vm } of sim.drains.get(id) ?? []) touch(sim, vm, why)
  sim.drains.delete(id)
  tell(sim, id, why)
}

/** Begins the next move of a drain. */
export function nextMove(sim: Sim, id: string): void {
  const left = sim.drains.get(id)
  if (!left) return
  const move = left.shift()
  if (!move) {
    sim.drains.delete(id)
    return tell(sim, id, 'its drain has ended')
  }
  const vm = sim.vms.get(move.vm)!
  const [from, to] = [sim.nodes.get(id)!, sim.nodes.get(move.to)!]
  const next = () => sim.queue.add(sim.nowMs, { kind: 'drain', node: id })
  // A VM that has changed since the plan is left out.
  if (vm.node !== id || vm.status !== 'running') return next()
  const against = vm.work ? 'an operation works on it' : obstacleTo(sim, vm, move.to)
  if (against !== null || !isReached(from) || !isReached(to)) {
    touch(sim, vm.id, `it was not moved to '${move.to}': ${against ?? 'a node does not answer'}`)
    return stopDrain(sim, id, `its drain failed at '${vm.id}': ${against ?? 'a node does not answer'}`)
  }
  vm.work = { kind: 'move', from: id, to: move.to, isBroken: false }
  sim.revision += 1
  // Memory that is written again is sent again.
  const seconds = (vm.memoryMib / sim.start.bandwidthMib) * between(sim, 1, 1.5) + 1
  sim.queue.add(sim.nowMs + seconds * 1000, { kind: 'moved', vm: vm.id })
}

/** The reason that a node does not take a guest by now. */
function obstacleTo(sim: Sim, vm: SimVm, to: string): string | null {
  const node = sim.nodes.get(to)!
  if (node.inMaintenance) return `node '${to}' is in maintenance`
  // The target reads the lease and opens the disks before the guest comes.
  if (node.storageLostAt !== null) return `node '${to}' does not reach its storage`
  const world = worldOf(sim)
  const found = lacking(world, vm.id, to, node.availableMib)
  return found.length === 0 ? brokenRules(world, vm.id, to) : found.map(({ text }) => text).join('; ')
}

/** True while it cannot be known on which node a guest of a move is. */
function isUnknown(sim: Sim, { guests }: SimVm, { from, to }: Move): boolean {
  const [source, target] = [sim.nodes.get(from), sim.nodes.get(to)]
  return !isReached(source) || (!isReached(target) && !guests.has(from))
}

/** The end of a move. Until both nodes answer it is not known where the guest is, and nothing is started. */
export function moved(sim: Sim, id: string): void {
  const vm = sim.vms.get(id)!
  const { work } = vm
  if (work?.kind !== 'move') return
  const { from, to } = work
  if (isUnknown(sim, vm, work)) {
    if (!work.isBroken) touch(sim, id, `its move to '${to}' was interrupted: it is not known where it runs`)
    work.isBroken = true
    sim.queue.add(sim.nowMs + 5000, { kind: 'moved', vm: id })
    return
  }
  const target = sim.nodes.get(to)!
  const isDone = !work.isBroken && vm.guests.has(from) && isReached(target) && target.storageLostAt === null
  if (isDone) {
    const epoch = vm.guests.get(from)!
    vm.guests.delete(from)
    guestStarts(sim, vm, to, epoch)
    vm.node = to
  }
  vm.work = null
  vm.reason = null
  sim.revision += 1
  observe(sim, vm)
  tell(sim, id, isDone ? `it has moved to '${to}'` : `it did not move to '${to}'`)
  requireInvariants(sim, vm)
  if (isDone) sim.queue.add(sim.nowMs, { kind: 'drain', node: from })
  else stopDrain(sim, from, `its drain failed at '${id}'`)
}
