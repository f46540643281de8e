import { guardsSee } from './hosts.ts'
import { requireInvariants } from './invariants.ts'
import {
  between,
  type Failover,
  guestEnds,
  guestStarts,
  isReached,
  observe,
  type Sim,
  type SimVm,
  tell,
} from './state.ts'

/** Time that a step waits for a node without an answer, as the engine of operations. */
const patienceMs = 40_000
/** Time that the former node gets when no guard decides. */
const nodeMs = 20_000

type Protected = SimVm & { ha: NonNullable<SimVm['ha']> }

const next = (sim: Sim, vm: SimVm, low: number, high = low) =>
  sim.queue.add(sim.nowMs + between(sim, low, high), { kind: 'failover', vm: vm.id })

/** Begins a failover that was decided. */
export function beginFailover(sim: Sim, vm: Protected, to: string, isConfirmed: boolean, reason: string): void {
  vm.work = { kind: 'failover', from: vm.node, to, isConfirmed, stage: 'raising', raisedAt: null, proof: null }
  vm.ha.attempts.push({ from: vm.node, to })
  vm.wasTouched = true
  sim.revision += 1
  tell(sim, vm.id, `it is to start on '${to}': ${reason}`)
  requireInvariants(sim, vm)
  waits.set(vm, sim.nowMs)
  next(sim, vm, 200, 1000)
}

/** Since when the step of a failover waits for its target. */
const waits = new WeakMap<SimVm, number>()

function ends(sim: Sim, vm: Protected, why: string): void {
  vm.work = null
  vm.reason = why
  sim.revision += 1
  tell(sim, vm.id, why)
  observe(sim, vm)
}

/** The next step of a failover that runs. */
export function failoverSteps(sim: Sim, id: string): void {
  const vm = sim.vms.get(id) as Protected
  const work = vm.work
  if (work?.kind !== 'failover') return
  if (work.stage === 'fencing') return fence(sim, vm, work)
  const target = sim.nodes.get(work.to)!
  if (!isReached(target) || target.storageLostAt !== null) {
    const since = waits.get(vm) ?? sim.nowMs
    waits.set(vm, since)
    if (sim.nowMs - since > patienceMs)
      return ends(sim, vm, `its start on '${work.to}' failed: that node does not answer`)
    return next(sim, vm, 500)
  }
  waits.delete(vm)
  if (work.stage === 'raising') raise(sim, vm, work)
  else if (work.stage === 'taking') take(sim, vm, work)
  else starts(sim, vm, work)
}

function raise(sim: Sim, vm: Protected, work: Failover): void {
  vm.ha.epoch += 1
  vm.ha.isFencing = true
  work.raisedAt = sim.nowMs
  work.stage = 'fencing'
  guardsSee(sim, vm)
  next(sim, vm, 0)
}

/** Waits for evidence that the guest does not run on its former node. */
function fence(sim: Sim, vm: Protected, work: Failover): void {
  const { ha } = vm
  const elapsed = sim.nowMs - work.raisedAt!
  const hasDeadline = ha.hasLease && ha.isGuarded && ha.rules.least_proof === 'deadline' && work.to !== work.from
  if (work.isConfirmed) work.proof = 'confirmed'
  else if (isReached(sim.nodes.get(work.from))) {
    // It is asked to switch the guest off, and says that it is.
    guestEnds(sim, vm, work.from)
    work.proof = 'node'
  } else if ((ha.reports.get(work.from) ?? 0) >= ha.epoch && isReached(sim.nodes.get(work.to))) work.proof = 'guard'
  else if (hasDeadline && elapsed >= sim.deadlineMs) work.proof = 'deadline'
  else if (!hasDeadline && elapsed >= nodeMs) {
    ends(sim, vm, `nothing proves that node '${work.from}' does not run it`)
    return
  }
  if (work.proof === null) return next(sim, vm, 1000)
  tell(sim, vm.id, `evidence that it does not run on '${work.from}': ${work.proof}`)
  work.stage = 'taking'
  next(sim, vm, 100, 800)
}

function take(sim: Sim, vm: Protected, work: Failover): void {
  if (work.to !== vm.node) vm.ha.oldNodes.add(vm.node)
  vm.ha.oldNodes.delete(work.to)
  vm.node = work.to
  vm.status = 'stopped'
  vm.ha.isFencing = false
  vm.ha.isGuarded = false
  work.stage = 'starting'
  sim.revision += 1
  next(sim, vm, 300, 4000)
}

function starts(sim: Sim, vm: Protected, work: Failover): void {
  guestStarts(sim, vm, work.to, vm.ha.epoch)
  vm.ha.ran = { node: work.to, boots: sim.nodes.get(work.to)!.boots, isLost: false, storage: null }
  vm.ha.note = null
  vm.ha.isGuarded = vm.ha.hasLease
  vm.status = 'running'
  vm.work = null
  vm.reason = null
  sim.revision += 1
  tell(sim, vm.id, `it runs on '${work.to}'`)
  requireInvariants(sim, vm)
}
