import type { NodeState } from './track.ts'

/** A VM under HA with everything that decides about it. */
export type HaVm = {
  id: string
  node: string
  tier: number
  status: 'running' | 'paused' | 'stopped' | 'unknown' | 'other'
  /** It is meant to run. */
  isWanted: boolean
  /** Its node was lost while it ran, or it was off when it was put under HA; it has not been seen running since. */
  isOwed: boolean
  /** An operation or a migration works on it. */
  isBusy: boolean
  /** The node on which a failover that runs will start it. */
  goesTo: string | null
  /** Its guard has ended it on its node because its storage did not answer; back: it does again. */
  lostStorage: 'away' | 'back' | null
  /** It has a lease file, and its guard ran when its node last answered. */
  isGuarded: boolean
  acceptsDeadline: boolean
  /** Things of it that lie on its node alone, in words. */
  bound: string[]
  restarts: number
  relocations: number
  maxRestarts: number
  maxRelocations: number
  holdOff: string | null
}

export type HaNodeView = { id: string; state: NodeState; isConfirmedOff: boolean }

export type Decision =
  | { kind: 'nothing' | 'wait' | 'needs_attention'; reason: string }
  | { kind: 'start'; to: string; reason: string; isConfirmed: boolean }

/** `ownLacks`: the room that its own node lacks for it; null: none. */
export type Places = { nodes: string[]; reason: string; ownLacks: string | null }

export type HaWorld = {
  nodes: HaNodeView[]
  vms: HaVm[]
  isolation: string | null
  /** Nodes that can take the VM now, the best first, with the VMs that were given a place before; else the reasons. */
  placesFor: (vm: string, given: ReadonlyMap<string, string>) => Places
}

/** Begin of the reason of a VM that no node can take. */
export const noRoom = 'no node can take it'

const waits = (reason: string): Decision => ({ kind: 'wait', reason })
const attention = (reason: string): Decision => ({ kind: 'needs_attention', reason })

/**
 * Decides for every VM under HA, the lower tiers first. A pure function: no clock, no calls. A decision to start names a node
 * other than the VM's own only with evidence in sight that the guest does not run there: the node answers, its guard will have
 * ended it, or a user has confirmed that the node is off.
 */
export function decide(world: HaWorld): Map<string, Decision> {
  const decisions = new Map<string, Decision>()
  // A rule counts the place of a VM whose failover waits for evidence.
  const given = new Map(world.vms.flatMap(({ id, goesTo }) => (goesTo === null ? [] : [[id, goesTo] as const])))
  let pendingTier = Infinity
  for (const vm of world.vms.toSorted((a, b) => a.tier - b.tier || (a.id < b.id ? -1 : 1))) {
    const decision = vm.tier > pendingTier && vm.isOwed ? laterTier(vm, pendingTier) : decideOne(world, vm, given)
    decisions.set(vm.id, decision)
    if (decision.kind === 'start') given.set(vm.id, decision.to)
    // One that needs a user does not keep all others from starting.
    if (vm.isOwed && vm.isWanted && (decision.kind === 'start' || decision.kind === 'wait'))
      pendingTier = Math.min(pendingTier, vm.tier)
  }
  return decisions
}

const laterTier = (vm: HaVm, tier: number): Decision =>
  vm.isWanted
    ? waits(`guests of tier ${tier} are not running again yet`)
    : { kind: 'nothing', reason: 'it is meant to be off' }

function decideOne(world: HaWorld, vm: HaVm, given: ReadonlyMap<string, string>): Decision {
  const node = world.nodes.find(({ id }) => id === vm.node)
  if (!vm.isWanted) return { kind: 'nothing', reason: 'it is meant to be off' }
  if (node?.state === 'online') return decideOnline(world, vm, given)
  if (!vm.isOwed) return { kind: 'nothing', reason: `it was off before node '${vm.node}' went away` }
  if (node?.isConfirmedOff) {
    const how = { isConfirmed: true, reason: `node '${vm.node}' is confirmed to be off` }
    return obstacleOf(vm) ?? startElsewhere(world, vm, given, how)
  }
  if (node?.state !== 'lost') return waits(`node '${vm.node}' has missed a check, and is not lost yet`)
  if (world.isolation !== null) return waits(world.isolation)
  const how = { isConfirmed: false, reason: `node '${vm.node}' is lost` }
  return obstacleOf(vm) ?? withoutProof(vm) ?? startElsewhere(world, vm, given, how)
}

/** Nothing will show that the guest does not run on its lost node. */
function withoutProof(vm: HaVm): Decision | null {
  if (vm.isGuarded && vm.acceptsDeadline) return null
  return attention(
    `node '${vm.node}' is lost, and nothing will prove that it does not run the guest (${proofLacking(vm)}): switch it off, then POST /api/ha/nodes/${vm.node}/confirm-off`,
  )
}

const proofLacking = ({ isGuarded, acceptsDeadline }: HaVm) =>
  isGuarded && !acceptsDeadline
    ? 'its group accepts no deadline of a guard'
    : 'it has no guard: its disks are no files on shared storage, or its guard was not seen'

/** Reasons against any start now. */
function obstacleOf(vm: HaVm): Decision | null {
  if (vm.holdOff !== null) return waits(vm.holdOff)
  if (vm.isBusy) return waits('an operation works on it')
  if (vm.bound.length > 0) return attention(`it cannot start elsewhere: ${vm.bound.join('; ')}`)
  return null
}

/** Its node answers: a guest that is owed is off there, by what the node says. */
function decideOnline(world: HaWorld, vm: HaVm, given: ReadonlyMap<string, string>): Decision {
  if (vm.status === 'running' || vm.status === 'paused') return { kind: 'nothing', reason: `it is ${vm.status}` }
  if (vm.status !== 'stopped') return waits(`node '${vm.node}' answers, and the state of the guest is not known`)
  if (!vm.isOwed) return { kind: 'nothing', reason: 'it was shut down' }
  if (vm.holdOff !== null) return waits(vm.holdOff)
  if (vm.isBusy) return waits('an operation works on it')
  const { ownLacks } = world.placesFor(vm.id, given)
  const mayRestart = vm.restarts < vm.maxRestarts && ownLacks === null
  if (mayRestart && vm.lostStorage === 'away') return whileStorageIsAway(world, vm, given)
  if (mayRestart)
    return { kind: 'start', to: vm.node, reason: `${offBecause(vm)}${hasStorageBack(vm)}`, isConfirmed: false }
  const obstacle = obstacleOf(vm)
  if (obstacle) return obstacle
  return startElsewhere(world, vm, given, {
    isConfirmed: false,
    reason: ownLacks
      ? `node '${vm.node}' answers, and has no room for it any more: ${ownLacks}`
      : vm.lostStorage !== null
        ? offBecause(vm)
        : `it did not start on node '${vm.node}', which says that it is off`,
  })
}

const offBecause = ({ node, lostStorage }: HaVm) =>
  lostStorage === null
    ? `node '${node}' answers, and does not run its guest`
    : `its guard on node '${node}' has ended it, since its storage did not answer`
const hasStorageBack = ({ lostStorage }: HaVm) => (lostStorage === 'back' ? ', which it does again' : '')

/** Its own node answers and has no storage for it: another node may have, else it waits for the storage. */
function whileStorageIsAway(world: HaWorld, vm: HaVm, given: ReadonlyMap<string, string>): Decision {
  const how = { isConfirmed: false, reason: offBecause(vm) }
  const elsewhere = obstacleOf(vm) ?? startElsewhere(world, vm, given, how)
  return elsewhere.kind === 'start' ? elsewhere : waits(`${how.reason} and does not yet; ${elsewhere.reason}`)
}

function startElsewhere(
  { placesFor }: HaWorld,
  vm: HaVm,
  given: ReadonlyMap<string, string>,
  how: { isConfirmed: boolean; reason: string },
): Decision {
  if (vm.relocations >= vm.maxRelocations)
    return attention(
      `it was started ${vm.relocations} times on other nodes since it last ran for a while, and its budget allows no more: PATCH /api/ha/resources/${vm.id} begins anew`,
    )
  const { nodes, reason } = placesFor(vm.id, given)
  const to = nodes.find((id) => id !== vm.node)
  return to === undefined ? waits(`${noRoom}: ${reason}`) : { kind: 'start', to, ...how }
}
