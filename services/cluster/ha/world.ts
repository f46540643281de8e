import { call } from '#shared/bus/call.ts'
import type { HaResource } from '#shared/contracts/cluster/ha.ts'
import { fencing, type ProtectedVm } from '#shared/contracts/vm/fencing.ts'
import { AppError, ConflictError } from '#shared/errors.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { localId, nodeRecords } from '../nodes/model.ts'
import { rank } from '../placement/choose.ts'
import { loadWorld } from '../placement/load.ts'
import type { World } from '../placement/world.ts'
import { decide, type Decision, type HaVm, type HaWorld } from './decide.ts'
import { confirmationRecords, groupRecords, resourceRecords, rulesOf } from './model.ts'
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

/** Things of a VM that lie on its node alone, in words. A VM that cannot be asked for is not started. */
async function boundOf(id: string): Promise<string[]> {
  try {
    const { violations } = await call(fencing, 'check', { id }, { isQuestion: true })
    return violations.map(({ message }) => message)
  } catch (error) {
    if (error instanceof AppError) return [error.message]
    throw error
  }
}

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
  const inventory = mayStart ? await loadWorld({ withFeatures: false }) : null
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
      if (!inventory || !found) return { nodes: [], reason: 'the inventory is not known' }
      return placesIn(inventory, found, given)
    },
  }
  const holdOff = world.vms.find((vm) => vm.holdOff !== null)?.holdOff ?? null
  return { looked, vms, resources, world, decisions: decide(world), holdOff }
}

type Known = { vm: ProtectedVm; rules: ReturnType<typeof rulesOf> }

/** The nodes that can take a VM, by the placement of all VMs and the rules of its group. */
function placesIn(inventory: World, { vm, rules }: Known, given: ReadonlyMap<string, string>) {
  const own = inventory.vms.find(({ id }) => id === vm.id)
  if (!own) return { nodes: [], reason: 'it is not in the inventory' }
  const others = inventory.vms
    .filter(({ id }) => id !== vm.id)
    .map((each) => ({
      ...each,
      node: given.get(each.id) ?? each.node,
      isRunning: each.isRunning || given.has(each.id),
    }))
  const { candidates, refused } = rank({ ...inventory, vms: others }, own, { isStarting: true, first: localId })
  const priorityOf = (node: string) => rules.nodes.find((each) => each.node === node)?.priority ?? -1
  const whyNot = (node: string): string | null => {
    if (vm.old_nodes.includes(node)) return 'it may still have a former copy of the guest'
    const seconds = quarantineSecondsOf(node)
    if (seconds > 0) return `it was lost several times, and is quarantined for ${seconds} s more`
    if (rules.restricted && priorityOf(node) < 0) return 'its group does not name it'
    return null
  }
  const nodes = candidates.map(({ node }) => node).filter((node) => node !== vm.node)
  const reasons = [
    ...nodes.flatMap((node) => (whyNot(node) === null ? [] : [`'${node}': ${whyNot(node)}`])),
    ...refused.map(({ node, obstacles }) => `'${node}': ${obstacles.map(({ text }) => text).join(', ')}`),
  ]
  return {
    // The order of the ranking decides among nodes of one priority.
    nodes: nodes.filter((node) => whyNot(node) === null).toSorted((a, b) => priorityOf(b) - priorityOf(a)),
    reason: reasons.join('; ') || 'there is no other node',
  }
}
