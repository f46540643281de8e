import { type Static, Type } from 'typebox'
import { Id, nullable, oneOf, strict, Time } from '#shared/contracts/common.ts'

const Reason = Type.Union([Type.String(), Type.Null()], { description: 'Why it is not ok' })

/** A host key that is not the pinned one; both as `ssh-keygen -l` prints them. */
const ChangedKey = strict({
  pinned: Type.String(),
  shown: Type.String({ description: 'Compare it with the key on the host itself before you pin it' }),
})

const checkedFields = {
  subject: Type.String({ description: 'What was checked: the id of a storage pool, an engine, or the channel itself' }),
  reason: Reason,
  since: Type.Union([Time, Type.Null()], { description: 'It has had this status since then' }),
  changed_host_key: nullable(ChangedKey),
  skew_ms: Type.Union([Type.Integer(), Type.Null()], {
    description: "The node's clock minus the clock of Horcrux, in ms; null: not measured",
  }),
}

/** One channel to a node, as the last check found it. */
export const ChannelState = strict({
  channel: oneOf('host', 'clock', 'storage'),
  status: Type.Enum(['ok', 'warning', 'failed', 'unknown'], { description: 'unknown: the node could not be asked' }),
  ...checkedFields,
})
export type ChannelState = Static<typeof ChannelState>

const Checked = strict({
  channel: Type.Enum(['host', 'clock', 'engine', 'storage'], {
    description: 'host: SSH, or the machine of Horcrux itself; storage: a storage pool as the node reaches it',
  }),
  status: Type.Enum(['ok', 'warning', 'failed', 'absent', 'unknown'], {
    description: 'absent: the host does not have this engine; unknown: it could not be asked',
  }),
  ...checkedFields,
  checked_at: Type.Union([Time, Type.Null()], { description: 'The last check; null: this replica has made none yet' }),
  age_seconds: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { description: 'Age of the last check' }),
})

export const NodeHealth = strict({
  id: Id,
  status: Type.Enum(['ok', 'warning', 'failed', 'unknown'], {
    description: 'failed: the host is not reached; warning: a clock, an engine or a storage pool is not ok',
  }),
  maintenance: Type.Boolean(),
  channels: Type.Array(Checked),
})
export type NodeHealth = Static<typeof NodeHealth>

/** The CPU that guests can have on all nodes of a group. */
const Baseline = strict({
  architecture: Type.String(),
  accel: oneOf('kvm', 'tcg'),
  engine: Type.String({ description: 'The engine whose baseline function computed it' }),
  model: Type.String({ description: 'The named CPU model that is nearest' }),
  vendor: nullable(Type.String()),
  features: Type.Array(Type.String(), { description: 'Every CPU feature that all of these nodes have, by name' }),
  nodes: Type.Array(
    strict({
      id: Id,
      model: Type.String(),
      more_features: Type.Array(Type.String(), { description: 'Features of this node that others lack' }),
    }),
  ),
})

export const CpuBaselines = strict({
  baselines: Type.Array(Baseline, { description: 'One for each architecture and way of acceleration' }),
  unknown: Type.Array(strict({ id: Id, reason: Type.String() }), {
    description: 'Nodes that could not be asked; no baseline counts them',
  }),
})
export type CpuBaselines = Static<typeof CpuBaselines>
