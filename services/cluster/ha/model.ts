import { Type } from 'typebox'
import { HaGroup, HaResource } from '#shared/contracts/cluster/ha.ts'
import { usualRules } from '#shared/contracts/cluster/usual-ha-rules.ts'
import { Id, Time, Version } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { event, now } from '#shared/events/event.ts'

export const groupRecords = collection('ha-groups', HaGroup, {
  kind: 'HA group',
  resource: { path: '/api/ha/groups/{id}', sees: 'SysAudit on /api/ha/groups/{id}' },
  indexes: [{ fields: { name: 1 }, unique: true }],
})

export const resourceRecords = collection('ha-resources', HaResource, {
  kind: 'HA resource',
  resource: { path: '/api/ha/resources/{id}', sees: 'SysAudit on /api/ha/resources/{id}' },
})

/** Nodes of which a user has said that they are off. */
export const confirmationRecords = collection(
  'ha-confirmations',
  Type.Object({ id: Id, by: Type.String(), created_at: Time, updated_at: Time, version: Version }),
  { kind: 'Confirmation of node' },
)

/** The rules of a resource: those of its group, else the usual ones. */
export const rulesOf = ({ group }: Pick<HaResource, 'group'>, groups: HaGroup[]) =>
  groups.find(({ id }) => id === group) ?? usualRules

/** Records why a user has to act for a VM, or null when none has to any more; an alert tells each change once. */
export async function noteAttention(resource: HaResource, attention: string | null): Promise<void> {
  if (resource.attention === attention) return
  const alert = event(attention === null ? 'AlertResolved' : 'AlertTriggered', {
    alert_id: `ha-${resource.id}`,
    name: 'ha_needs_attention',
    severity: 'critical',
    resource: `/api/vms/${resource.id}`,
    message: attention ?? 'HA needs no user any more',
    timestamp: now(),
  })
  const { id, version } = resource
  await resourceRecords.updateWhere({ _id: id, version }, { set: { attention }, events: [alert] })
}
