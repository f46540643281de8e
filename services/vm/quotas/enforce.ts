import type { Params, Result } from '#shared/contract/contract.ts'
import type { EnforcePlan, snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { AppError, invalid } from '#shared/errors.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { requirePlan } from '#shared/service/plan.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { apiPathOf } from '../model.ts'
import { planRemove, runRemove } from '../snapshots/remove.ts'
import { judge } from './judge.ts'
import { quotaRecords } from './model.ts'
import { planEnforce } from './plan.ts'
import { usageNow } from './usage-now.ts'

type Enforced = Result<typeof snapshotQuotas, 'enforce'>
type Enforcing = { quota: string; delete: EnforcePlan['delete'] }
type Given = Params<typeof snapshotQuotas, 'enforce'>

export const quotaPathOf = (id: string) => `/api/snapshot-quotas/${id}`

/** Deletes one snapshot of the plan. @returns the reason that it stays; null when it is gone */
async function deleteOne(op: Op, { snapshot_id, vm_id, name }: EnforcePlan['delete'][number]): Promise<string | null> {
  const word = `${vm_id}/${name}`
  const { removing, reason } = await op.step(`planning removal of ${word}`, async () => {
    try {
      return { removing: await planRemove({ id: vm_id, snapshot_id }), reason: null }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return { removing: null, reason: error.message }
    }
  })
  if (removing) await runRemove(op, removing, `${word}: `)
  else op.log(`Snapshot '${name}' of '${vm_id}' is kept: ${reason}`)
  return reason
}

const enforcing = operation({
  accept: async ({ id, plan: _, ...wish }: Given, accepting): Promise<Enforcing> => {
    await accepting.hold(quotaPathOf(id))
    const quota = await quotaRecords.require(id)
    if (quota.policy === 'manual' && !wish.snapshots)
      throw invalid('snapshots', `Snapshot quota '${quota.name}' has the policy manual: name the snapshots`, 'required')
    const plan = await planEnforce(quota, wish, accepting)
    requirePlan(plan)
    const vms = [...new Set(plan.delete.map(({ vm_id }) => vm_id))]
    await accepting.hold(...vms.map((vm) => apiPathOf(vm)))
    return { quota: id, delete: plan.delete }
  },
  run: async (op, { quota: id, delete: all }: Enforcing): Promise<Enforced> => {
    const deleted: Enforced['deleted'] = []
    const kept: Enforced['kept'] = []
    for (const { schedule_id, ...each } of all) {
      const reason = await deleteOne(op, { schedule_id, ...each })
      if (reason === null) deleted.push({ schedule_id, ...each })
      else kept.push({ ...each, reason })
      op.progress(deleted.length + kept.length, all.length, 'steps')
    }
    const usage = await op.step('counting', async () => {
      const quota = await quotaRecords.get(id)
      if (!quota) return null
      await judge([quota])
      return usageNow(quota)
    })
    return { deleted, kept, usage }
  },
})

export const enforce = {
  ...enforcing,
  plan: async ({ id, plan: _, ...wish }: Given, call: Call) => planEnforce(await quotaRecords.require(id), wish, call),
}
