import { call } from '#shared/bus/call.ts'
import type { HaResource } from '#shared/contracts/cluster/ha.ts'
import { fencing, type ProtectedVm } from '#shared/contracts/vm/fencing.ts'
import { ConflictError } from '#shared/errors.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { localId, nodeRecords } from '../nodes/model.ts'
import { loadWorld, targetsOfFailovers } from '../placement/load.ts'
import { boundOf } from './bound.ts'
import { decide, type Decision, type HaVm, type HaWorld } from './decide.ts'
import { confirmationRecords, groupRecords, resourceRecords, rulesOf } from './model.ts'
import { placesIn } from './places.ts'
import { refusalOf } from './refused.ts'
import {
  holdOffOf,
  isolationOf,
  type Looked,
  quarantineMs,
  startTracker,
  stateOf,
  type Tracker,
  track,
} from './track.ts'

/** The observations of this replica. Another one has its own; they are no facts to share. */
let tracker: Tracker = startTracker(performance.now())

export type Gathered = {
  looked: Looked[]
  vms: ProtectedVm[]
  resources: HaResource[]
  world: HaWorld
  decisions: Map<string, Decision>
  holdOff: string | null
}

/** Reads the nodes as last checked, with the confirmations that still hold. */
export async function lookAtNodes(): Promise<Looked[]> {
  const [nodes, confirmations] = await Promise.all([nodeRecords.all(), confirmationRecords.all()])
  const confirmed = new Set(confirmations.map(({ id }) => id))
  return nodes.map(({ id, status, kind }) => ({
    id,
    isOnline: status === 'online',
    isRemote: kind === 'ssh',
    isConfirmedOff: status !== 'online' && confirmed.has(id),
  }))
}

/** Counts what was looked at, once in a turn of the watch. */
export const noteLooked = (looked: Looked[]): void => void (tracker = track(tracker, looked, performance.now()))
/** Begins a new observation, as a start of the process does. */
export const restartTracker = (): void => void (tracker = startTracker(performance.now()))

export const nodeStateOf = (looked: Pick<Looked, 'id' | 'isOnline'>) => stateOf(tracker, looked)
export const quarantineSecondsOf = (id: string) => Math.ceil(quarantineMs(tracker, id, performance.now()) / 1000)

const statusOf = ({ status }: ProtectedVm): HaVm['status'] =>
  status === 'running' || status === 'paused' || status === 'stopped' || status === 'unknown' ? status : 'other'

/** True while an operation holds a VM. */
async function isHeld(id: string): Promise<boolean> {
  try {
    await requireFree(`/api/vms/${id}`)
    return false
  } catch (error) {
    if (error instanceof ConflictError) return true
    throw error
  }
}

/** Everything that decides about the VMs under HA, and the decisions. @param how.holder a VM that the caller holds itself */
export async function gather({ holder }: { holder?: string } = {}): Promise<Gathered> {
  const nowMs = performance.now()
  const [looked, vms, resources, groups] = await Promise.all([
    lookAtNodes(),
    call(fencing, 'list', {}, { isQuestion: true }),
    resourceRecords.all(),
    groupRecords.all(),
  ])
  const known = resources.flatMap((resource) => {
    const vm = vms.find(({ id }) => id === resource.id)
    return vm ? [{ resource, vm, rules: rulesOf(resource, groups) }] : []
  })
  const mayStart = known.some(({ resource }) => resource.is_owed)
  const [inventory, going] = mayStart
    ? await Promise.all([loadWorld({ withFeatures: false }), targetsOfFailovers()])
    : [null, new Map<string, string>()]
  const judged = known.map(async ({ resource, vm, rules }): Promise<HaVm> => ({
    id: vm.id,
    node: vm.node,
    tier: resource.tier,
    status: statusOf(vm),
    isWanted: vm.desired_state === 'running',
    isOwed: resource.is_owed,
    isBusy: vm.is_moving || (resource.is_owed && vm.id !== holder && (await isHeld(vm.id))),
    isGuarded: vm.lease !== null && vm.is_guarded,
    acceptsDeadline: rules.least_proof === 'deadline',
    lostStorage: vm.lost_storage,
    goesTo: going.get(vm.id) ?? null,
    bound: resource.is_owed ? await boundOf(vm.id) : [],
    restarts: resource.attempts.filter(({ from, to }) => from === to).length,
    relocations: resource.attempts.filter(({ from, to }) => from !== to).length,
    maxRestarts: rules.max_restarts,
    maxRelocations: rules.max_relocations,
    holdOff: holdOffOf(tracker, looked, rules.hold_off_seconds * 1000, nowMs),
  }))
  const world: HaWorld = {
    nodes: looked.map((node) => ({ id: node.id, isConfirmedOff: node.isConfirmedOff, state: stateOf(tracker, node) })),
    vms: await Promise.all(judged),
    isolation: isolationOf(looked),
    placesFor: (id, given) => {
      const found = known.find(({ vm }) => vm.id === id)
      if (!inventory || !found) return { nodes: [], reason: 'the inventory is not known', ownLacks: null }
      const { vm, rules } = found
      const refusals = (node: string) => refusalOf(id, node)
      const around = { quarantineSecondsOf, refusalOf: refusals, first: localId }
      return placesIn(inventory, { id, oldNodes: vm.old_nodes, rules }, given, around)
    },
  }
  const holdOff = world.vms.find((vm) => vm.holdOff !== null)?.holdOff ?? null
  return { looked, vms, resources, world, decisions: decide(world), holdOff }
}
