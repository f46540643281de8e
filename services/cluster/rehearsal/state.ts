import type { DrainPlan } from '#shared/contracts/cluster/drains.ts'
import type { HaGroup } from '#shared/contracts/cluster/ha.ts'
import type { RehearsalEvent } from '#shared/contracts/cluster/rehearsals.ts'
import type { Proof } from '#shared/contracts/vm/fencing.ts'
import { startTracker, type Tracker } from '../ha/track.ts'
import type { World, WorldNode, WorldVm } from '../placement/world.ts'
import { type EventQueue, eventQueue, randomFrom } from './queue.ts'

type Rules = Pick<
  HaGroup,
  | 'nodes'
  | 'restricted'
  | 'automatic'
  | 'least_proof'
  | 'max_restarts'
  | 'max_relocations'
  | 'stable_seconds'
  | 'hold_off_seconds'
>

/** A VM under HA at the beginning. `hasLease`: its disks are files, so that a guard watches its guest. */
export type HaStart = { tier: number; rules: Rules; hasLease: boolean; isGuarded: boolean; attempts: Attempt[] }
type Attempt = { from: string; to: string }

/** Start of a rehearsal: the inventory, and what it does not say. */
export type Start = {
  world: World
  remotes: ReadonlySet<string>
  /** VMs that are meant to run. */
  wanted: ReadonlySet<string>
  ha: ReadonlyMap<string, HaStart>
  /** Things of a VM that lie on its node alone, in words. */
  bound: ReadonlyMap<string, string[]>
  bandwidthMib: number
  first: string
}

export type SimNode = WorldNode & {
  isRemote: boolean
  /** The machine runs. */
  isOn: boolean
  /** Counts its boots. */
  boots: number
  /** Horcrux does not reach it. */
  isCut: boolean
  /** It does not reach the shared storage since then. */
  storageLostAt: number | null
  /** As Horcrux knows it, by its checks. */
  isOnline: boolean
  isConfirmedOff: boolean
  inMaintenance: boolean
  /** Its room was taken away by an event, so that it may be overfull. */
  isShrunk: boolean
}

export type Failover = {
  kind: 'failover'
  from: string
  to: string
  isConfirmed: boolean
  stage: 'raising' | 'fencing' | 'taking' | 'starting'
  raisedAt: number | null
  proof: Proof | null
}
export type Move = { kind: 'move'; from: string; to: string; isBroken: boolean }

export type SimVm = WorldVm & {
  isWanted: boolean
  /** Its guests that run, by node, each with the epoch of its start. More than one is a broken invariant. */
  guests: Map<string, number>
  /** As Horcrux knows it. */
  status: 'running' | 'stopped' | 'unknown'
  work: Failover | Move | null
  bound: string[]
  ha:
    | (HaStart & {
        epoch: number
        reports: Map<string, number>
        isOwed: boolean
        isFencing: boolean
        oldNodes: Set<string>
        runningSince: number | null
        /** Its last run, as the watch of guards noted it; lost: its node has booted since or its guard ended it, and it is off there. */
        ran: { node: string; boots: number; isLost: boolean; storage: 'away' | 'back' | null } | null
        /** The note of the guard that has ended it for lost storage. */
        note: { node: string; boots: number; epoch: number } | null
        attention: string | null
      })
    | null
  /** The last decision about it, or the reason that it is down. */
  reason: string | null
  downAt: number | null
  downMs: number
  wasTouched: boolean
}

/** Events of the simulation itself; their handlers are in `simulate.ts`. */
export type SimEvent =
  | { kind: 'given'; event: RehearsalEvent }
  | { kind: 'checked'; node: string }
  | { kind: 'look' }
  | { kind: 'sweep' }
  | { kind: 'guard'; vm: string; node: string; epoch: number; lostAt: number | null }
  | { kind: 'failover'; vm: string }
  | { kind: 'moved'; vm: string }
  | { kind: 'drain'; node: string }

export type Told = { at_seconds: number; subject: string; text: string }
export type Broken = { at_seconds: number; invariant: 'one_writer' | 'capacity' | 'budget' | 'rule'; text: string }

export type Sim = {
  nowMs: number
  queue: EventQueue<SimEvent>
  random: () => number
  nodes: Map<string, SimNode>
  vms: Map<string, SimVm>
  start: Start
  tracker: Tracker
  /** Drains that run: the moves that are left. */
  drains: Map<string, { vm: string; to: string }[]>
  /** Of drains that are impossible. */
  drainConflicts: DrainPlan['conflicts']
  areDrainConflictsKnown: boolean
  timeline: Told[]
  broken: Broken[]
  /** Changes with everything that a decision reads. */
  revision: number
  decidedAt: number | null
  deadlineMs: number
}

export const isReached = (node: SimNode | undefined) => node !== undefined && node.isOn && !node.isCut
export const between = (sim: Sim, low: number, high: number) => low + sim.random() * (high - low)

export function tell(sim: Sim, subject: string, text: string): void {
  sim.timeline.push({ at_seconds: Math.round(sim.nowMs / 100) / 10, subject, text })
}

export function begin(start: Start, events: readonly RehearsalEvent[], seed: number, deadlineMs: number): Sim {
  const queue = eventQueue<SimEvent>()
  const random = randomFrom(seed)
  const sim: Sim = {
    nowMs: 0,
    queue,
    random,
    start,
    nodes: new Map(start.world.nodes.map((node) => [node.id, simNode(node, start.remotes.has(node.id))])),
    vms: new Map(start.world.vms.map((vm) => [vm.id, simVm(vm, start)])),
    tracker: startTracker(-1e9),
    drains: new Map(),
    drainConflicts: [],
    areDrainConflictsKnown: true,
    timeline: [],
    broken: [],
    revision: 0,
    decidedAt: null,
    deadlineMs,
  }
  for (const event of events) queue.add(event.at_seconds * 1000, { kind: 'given', event })
  // The turns of the watch and of the sweep have no fixed place between the events.
  queue.add(random() * 5000, { kind: 'look' })
  queue.add(random() * 10_000, { kind: 'sweep' })
  return sim
}

function simNode(node: WorldNode, isRemote: boolean): SimNode {
  const isOnline = node.unusable === null || node.unusable === 'it is in maintenance'
  return {
    ...node,
    isRemote,
    isOn: isOnline,
    boots: 0,
    isCut: false,
    storageLostAt: null,
    isOnline,
    isConfirmedOff: false,
    inMaintenance: node.unusable === 'it is in maintenance',
    isShrunk: false,
  }
}

function simVm(vm: WorldVm, { world, ha, wanted, bound }: Start): SimVm {
  const node = world.nodes.find(({ id }) => id === vm.node)
  const isThere = node !== undefined && (node.unusable === null || node.unusable === 'it is in maintenance')
  const found = ha.get(vm.id)
  return {
    ...vm,
    movingTo: null,
    isWanted: wanted.has(vm.id),
    guests: new Map(vm.isRunning && isThere ? [[vm.node, 1]] : []),
    status: vm.isRunning ? (isThere ? 'running' : 'unknown') : 'stopped',
    work: null,
    bound: bound.get(vm.id) ?? [],
    ha: found
      ? {
          ...found,
          attempts: [...found.attempts],
          epoch: 1,
          reports: new Map(),
          isOwed: false,
          isFencing: false,
          oldNodes: new Set(),
          runningSince: null,
          ran: vm.isRunning && isThere ? { node: vm.node, boots: 0, isLost: false, storage: null } : null,
          note: null,
          attention: null,
        }
      : null,
    reason: null,
    downAt: null,
    downMs: 0,
    wasTouched: false,
  }
}

/** The inventory as Horcrux has it at this moment of the simulation. */
export function worldOf(sim: Sim): World {
  return {
    pools: sim.start.world.pools,
    rules: sim.start.world.rules,
    nodes: [...sim.nodes.values()].map((node) => ({ ...node, unusable: unusableOf(node) })),
    vms: [...sim.vms.values()].map((vm) => ({
      ...vm,
      isRunning: vm.status !== 'stopped' || vm.work !== null,
      movingTo: vm.work?.to ?? null,
    })),
  }
}

function unusableOf({ inMaintenance, isOnline }: SimNode): string | null {
  if (inMaintenance) return 'it is in maintenance'
  return isOnline ? null : 'it is offline'
}

/** Notes that a guest runs on a node. */
export function guestStarts(sim: Sim, vm: SimVm, node: string, epoch: number): void {
  vm.guests.set(node, epoch)
  if (vm.downAt !== null) vm.downMs += sim.nowMs - vm.downAt
  vm.downAt = null
  vm.wasTouched = true
  sim.revision += 1
}

/** Notes that a guest is gone from a node. */
export function guestEnds(sim: Sim, vm: SimVm, node: string): void {
  if (!vm.guests.delete(node)) return
  vm.wasTouched = true
  if (vm.guests.size === 0) vm.downAt ??= sim.nowMs
  sim.revision += 1
}

/** The status of a VM after a question to its node. */
export function observe(sim: Sim, vm: SimVm): void {
  const node = sim.nodes.get(vm.node)
  const before = vm.status
  if (node?.isOnline) vm.status = vm.guests.has(vm.node) ? 'running' : 'stopped'
  else if (vm.status === 'running') vm.status = 'unknown'
  if (vm.status !== before) sim.revision += 1
}
