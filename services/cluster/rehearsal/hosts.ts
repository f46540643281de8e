import type { RehearsalEvent } from '#shared/contracts/cluster/rehearsals.ts'
import { guardUnreadableSeconds } from '#shared/contracts/vm/fencing.ts'
import {
  between,
  guestEnds,
  isReached,
  observe,
  type Sim,
  type SimEvent,
  type SimNode,
  type SimVm,
  tell,
} from './state.ts'

/** Milliseconds until a check notices that a node is away: the keep-alive of its connection ends first. */
const noticedMs = [1000, 17_000] as const
const answeredMs = [100, 6000] as const

const checkSoon = (sim: Sim, node: SimNode) => {
  const [low, high] = isReached(node) ? answeredMs : noticedMs
  sim.queue.add(sim.nowMs + between(sim, low, high), { kind: 'checked', node: node.id })
}

/** Lets the guards of a VM see the epoch of its lease: those of an older one end their guests. */
export function guardsSee(sim: Sim, vm: SimVm): void {
  if (!vm.ha?.hasLease) return
  for (const [node, epoch] of vm.guests)
    if (epoch < vm.ha.epoch)
      sim.queue.add(sim.nowMs + between(sim, 200, 4000), { kind: 'guard', vm: vm.id, node, epoch, lostAt: null })
}

const guestsOn = (sim: Sim, node: string) => [...sim.vms.values()].filter(({ guests }) => guests.has(node))

function fails(sim: Sim, node: SimNode): void {
  node.isOn = false
  node.boots += 1
  for (const vm of guestsOn(sim, node.id)) guestEnds(sim, vm, node.id)
  checkSoon(sim, node)
}

function cut(sim: Sim, node: SimNode, storage: boolean): void {
  node.isCut = true
  checkSoon(sim, node)
  if (storage) losesStorage(sim, node)
}

/** The guards of its guests end them after their time. */
function losesStorage(sim: Sim, node: SimNode): void {
  if (node.storageLostAt !== null) return
  node.storageLostAt = sim.nowMs
  for (const vm of guestsOn(sim, node.id)) {
    vm.wasTouched = true
    if (!vm.ha?.hasLease) continue
    const at = sim.nowMs + guardUnreadableSeconds * 1000 + between(sim, 1000, 6000)
    const epoch = vm.guests.get(node.id)!
    sim.queue.add(at, { kind: 'guard', vm: vm.id, node: node.id, epoch, lostAt: sim.nowMs })
  }
}

function returns(sim: Sim, node: SimNode): void {
  Object.assign(node, { isOn: true, isCut: false, storageLostAt: null })
  checkSoon(sim, node)
  for (const vm of guestsOn(sim, node.id)) guardsSee(sim, vm)
}

/** A guard has seen a newer epoch, or no lease for its time. */
export function guardActs(sim: Sim, { vm: id, node: on, epoch, lostAt }: Extract<SimEvent, { kind: 'guard' }>): void {
  const [vm, node] = [sim.vms.get(id)!, sim.nodes.get(on)!]
  if (!vm.ha || vm.guests.get(on) !== epoch || !node.isOn || node.storageLostAt !== lostAt) return
  guestEnds(sim, vm, on)
  tell(
    sim,
    id,
    lostAt === null ? `its guard ends the old guest on '${on}'` : `its guard ends the guest on '${on}': no storage`,
  )
  if (lostAt === null) vm.ha.reports.set(on, vm.ha.epoch)
  else vm.ha.note = { node: on, boots: node.boots, epoch }
  // The event of the hypervisor.
  if (isReached(node)) observe(sim, vm)
}

/** Notes the outcome of a check of a node, and reads its guests again. */
export function checked(sim: Sim, id: string): void {
  const node = sim.nodes.get(id)!
  const isOnline = isReached(node)
  // Guests can have ended during an absence that no check has noticed.
  if (isOnline) for (const vm of sim.vms.values()) if (vm.node === id) observe(sim, vm)
  if (node.isOnline === isOnline) return
  node.isOnline = isOnline
  sim.revision += 1
  tell(sim, id, isOnline ? 'it answers again' : 'it does not answer')
  for (const vm of sim.vms.values()) if (vm.node === id) observe(sim, vm)
}

/** Notes the run of a guest whose node answers, or that it ended with a former boot of that. */
function followRun(sim: Sim, { node: on, status, ha }: SimVm): void {
  const node = sim.nodes.get(on)!
  if (!ha || !isReached(node) || !node.isOnline) return
  if (status === 'running') ha.ran = { node: on, boots: node.boots, isLost: false, storage: null }
  else if (status !== 'stopped' || ha.ran === null) return
  else if (ha.ran.isLost) notesLost(sim, ha.ran, storageOfEnded(node, ha))
  else if (ha.ran.node !== on) ha.ran = null
  else if (storageOfEnded(node, ha) !== null || ha.ran.boots !== node.boots)
    notesLost(sim, ha.ran, storageOfEnded(node, ha))
  else ha.ran = null
}

type Protected = NonNullable<SimVm['ha']>
type Storage = NonNullable<Protected['ran']>['storage']

function notesLost(sim: Sim, ran: NonNullable<Protected['ran']>, storage: Storage): void {
  if (!ran.isLost || ran.storage !== storage) sim.revision += 1
  Object.assign(ran, { isLost: true, storage })
}

/** As the guard on a node says that has ended a guest for lost storage; null: none has. */
function storageOfEnded({ id, boots, storageLostAt }: SimNode, { note, epoch }: Protected): Storage {
  if (note?.node !== id || note.boots !== boots || note.epoch !== epoch) return null
  return storageLostAt === null ? 'back' : 'away'
}

/** Guests that ended with their node are noted, and former guests of failovers removed from nodes that answer. */
export function sweep(sim: Sim): void {
  for (const vm of sim.vms.values()) {
    if (!vm.ha || vm.work) continue
    if (isReached(sim.nodes.get(vm.node))) observe(sim, vm)
    followRun(sim, vm)
    for (const old of vm.ha.oldNodes) {
      if (!isReached(sim.nodes.get(old)) || old === vm.node) continue
      guestEnds(sim, vm, old)
      vm.ha.oldNodes.delete(old)
      sim.revision += 1
    }
    if (vm.ha.hasLease && vm.status === 'running') vm.ha.isGuarded = true
  }
}

/** Does an event of the caller; a drain is begun elsewhere. */
export function happens(sim: Sim, event: Exclude<RehearsalEvent, { kind: 'node_drains' }>): void {
  const node = sim.nodes.get(event.node)!
  sim.revision += 1
  switch (event.kind) {
    case 'node_fails':
      tell(sim, node.id, 'its power fails')
      return fails(sim, node)
    case 'node_cut':
      tell(sim, node.id, `it is cut off from Horcrux${event.storage ? ' and from shared storage' : ''}`)
      return cut(sim, node, event.storage)
    case 'storage_fails':
      tell(sim, node.id, 'its shared storage does not answer')
      return losesStorage(sim, node)
    case 'node_returns':
      tell(sim, node.id, 'it is back')
      return returns(sim, node)
    case 'node_confirmed_off':
      tell(
        sim,
        node.id,
        node.isOnline ? 'it answers, so that it cannot be confirmed to be off' : 'a user confirms that it is off',
      )
      node.isConfirmedOff = !node.isOnline
      return
    case 'capacity_removed':
      tell(sim, node.id, `it has ${event.memory_mib} MiB and ${event.vcpus} vCPUs less for guests`)
      node.memoryMib = Math.max(0, node.memoryMib - event.memory_mib)
      node.vcpus = Math.max(0, node.vcpus - event.vcpus)
      node.isShrunk = true
      return
  }
}
