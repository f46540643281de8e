import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { PlacementRule, placementRules } from '#shared/contracts/cluster/placement.ts'
import { collection } from '#shared/db/collection.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { implement } from '#shared/service/implement.ts'

export const ruleRecords = collection('placement-rules', PlacementRule, {
  kind: 'Placement rule',
  resource: {
    path: '/api/cluster/placement-rules/{id}',
    sees: 'SysAudit on /api/cluster/placement-rules/{id}',
  },
  indexes: [{ fields: { name: 1 }, unique: true }],
})

export const placementRuleService = implement(placementRules, {
  list: (query, { maySee }) => ruleRecords.list(query, maySee),
  get: ({ id }) => ruleRecords.require(id),
  create: ({ id = newId(), ...given }) => {
    const at = now()
    return ruleRecords.insert({ ...given, id, created_at: at, updated_at: at })
  },
  update: ({ id, ...set }) => ruleRecords.change(id, () => ({ set })),
  delete: async ({ id }) => {
    const rule = await ruleRecords.requireForChange(id)
    await call(permissions, 'forget', { path: `/api/cluster/placement-rules/${id}` })
    await ruleRecords.remove(rule)
    return null
  },
})
