import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { DrainPlan } from '#shared/contracts/cluster/drains.ts'
import { Id, nullable, strict } from '#shared/contracts/common.ts'

const at_seconds = Type.Number({ minimum: 0, maximum: 86_400, default: 0, description: 'Since the begin' })
const onNode = { node: Id, at_seconds }

/** Something that happens to a node in a rehearsal. */
export const RehearsalEvent = Type.Union([
  strict({ kind: Type.Literal('node_fails', { description: 'Its power fails: its guests end' }), ...onNode }),
  strict({
    kind: Type.Literal('node_cut', { description: 'Horcrux does not reach it; its guests run on' }),
    ...onNode,
    storage: Type.Boolean({ default: false, description: 'It is cut off from shared storage as well' }),
  }),
  strict({
    kind: Type.Literal('storage_fails', {
      description: 'It answers, and its shared storage does not: the guards of its guests under HA end them',
    }),
    ...onNode,
  }),
  strict({
    kind: Type.Literal('node_returns', {
      description: 'It answers again, with its storage, and has lost what power has ended',
    }),
    ...onNode,
  }),
  strict({
    kind: Type.Literal('node_confirmed_off', { description: 'A user confirms that it is off, as for HA' }),
    ...onNode,
  }),
  strict({ kind: Type.Literal('node_drains', { description: 'All guests are moved off it' }), ...onNode }),
  strict({
    kind: Type.Literal('capacity_removed', { description: 'It has less room for guests from now on' }),
    ...onNode,
    memory_mib: Type.Integer({ minimum: 0, default: 0 }),
    vcpus: Type.Integer({ minimum: 0, default: 0 }),
  }),
])
export type RehearsalEvent = Static<typeof RehearsalEvent>

export const RehearsedVm = strict({
  id: Id,
  outcome: Type.Enum(['runs', 'restarted', 'moved', 'down', 'waits', 'needs_attention'], {
    description:
      'At the end. runs: where it was; restarted: after a time down; moved: without one; down: nothing will start it; waits: HA would start it, and cannot yet; needs_attention: HA waits for a user',
  }),
  from: Id,
  to: nullable(Type.String({ description: 'Where it runs at the end; null: nowhere' })),
  down_seconds: Type.Number({ description: 'Until it ran again, else until the end' }),
  reason: nullable(Type.String()),
  remedy: nullable(Type.String({ description: 'A change that would let it run' })),
})
export type RehearsedVm = Static<typeof RehearsedVm>

export const Rehearsal = strict({
  seed: Type.Integer({ description: 'Gives the same answer for the same inventory and events' }),
  simulated_seconds: Type.Number(),
  counts: Type.Record(Type.String(), Type.Integer(), { description: 'VMs by outcome' }),
  vms: Type.Array(RehearsedVm, { description: 'Those that the events concern' }),
  nodes: Type.Array(
    strict({
      id: Id,
      state: Type.Enum(['online', 'offline', 'maintenance']),
      guests: Type.Integer(),
      memory_mib: Type.Integer({ description: 'Memory of the guests that run there at the end' }),
      of_memory_mib: Type.Integer({ description: 'Memory that guests may have there' }),
      vcpus: Type.Integer(),
      of_vcpus: Type.Integer(),
    }),
  ),
  conflicts: Type.Array(DrainPlan.properties.conflicts.items, {
    description:
      'Why drains are impossible, and why the VMs that wait for room have none, all together; and what would free them',
  }),
  are_all_conflicts_known: Type.Boolean(),
  broken: Type.Array(
    strict({
      at_seconds: Type.Number(),
      invariant: Type.Enum(['one_writer', 'capacity', 'budget', 'rule']),
      text: Type.String(),
    }),
    { description: 'Things that must never happen, such as two running copies of one guest' },
  ),
  timeline: Type.Array(
    strict({
      at_seconds: Type.Number(),
      subject: Type.String({ description: 'Id of a VM or node' }),
      text: Type.String(),
    }),
  ),
  is_timeline_cut: Type.Boolean({ description: 'It had more entries than are shown' }),
})
export type Rehearsal = Static<typeof Rehearsal>

/** Questions of what would happen to the live inventory; nothing is changed. */
export const rehearsals = contract('rehearsals', {
  rehearse: {
    does: 'Tell from the live inventory what would happen if nodes failed, were cut off, drained or lost capacity; nothing is changed',
    rest: 'POST /cluster/rehearse',
    can: 'SysAudit on /api/cluster',
    params: strict({
      events: Type.Array(RehearsalEvent, { minItems: 1, maxItems: 200 }),
      seconds: Type.Integer({
        minimum: 60,
        maximum: 86_400,
        default: 900,
        description: 'Time that is simulated after the last event',
      }),
      timeout: Type.Integer({
        minimum: 1,
        maximum: 60,
        default: 20,
        'x-unit': 'seconds',
        description: 'Seconds of work that the simulation may take',
      }),
      seed: Type.Integer({
        minimum: 0,
        maximum: 2 ** 32 - 1,
        default: 1,
        description: 'Of delays that have no fixed length, such as the time until a check notices something',
      }),
    }),
    result: Rehearsal,
    computed: true,
  },
})
