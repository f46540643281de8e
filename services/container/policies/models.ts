import { type Static, Type } from 'typebox'
import { Id, nullable, strict, Time, Version } from '#shared/contracts/common.ts'
import { Applied, type Gap, NetworkPolicy } from '#shared/contracts/container/network-policies.ts'
import { collection } from '#shared/db/collection.ts'
import { leaseFields } from '#shared/db/lease.ts'

const { selects: _s, enforced: _e, gaps: _g, ...stored } = NetworkPolicy.properties

const StoredPolicy = strict({
  ...stored,
  pending: Type.Optional(Type.String({ description: 'The change that is to be confirmed' })),
})
export const policyRecords = collection('network_policies', StoredPolicy, {
  kind: 'Network policy',
  resource: { path: '/api/network-policies/{id}', sees: 'NetworkAudit on /api/network-policies/{id}' },
})
export type PolicyRecord = Static<typeof StoredPolicy>

/** Changes that undo themselves: `before` has each policy as it was, null for one that was not there. */
export const appliedRecords = collection(
  'network_policy_changes',
  strict({
    ...Applied.properties,
    before: Type.Array(strict({ id: Id, policy: nullable(Type.Unsafe<PolicyRecord>(Type.Unknown())) })),
    created_at: Time,
    version: Version,
  }),
  { kind: 'Change of network policies', indexes: [{ fields: { state: 1 } }] },
)
export type AppliedRecord = Awaited<ReturnType<typeof appliedRecords.require>>

/** The rules of each node: the replica that wrote them, and the gaps that it found. */
export const enforcedNodes = collection(
  'network_policy_nodes',
  strict({
    id: Id,
    ...leaseFields,
    written_by: Type.Optional(
      nullable(Type.String({ description: 'Replica that knows the rules; null: there are none' })),
    ),
    gaps: Type.Optional(Type.Array(Type.Unsafe<Gap>(Type.Unknown()))),
    version: Version,
  }),
  { kind: 'Rules of node', hasEvents: true },
)
