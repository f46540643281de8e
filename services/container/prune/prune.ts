import type { Params, Result } from '#shared/contract/contract.ts'
import { type PruneItem, prunes } from '#shared/contracts/container/prunes.ts'
import { AppError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { requirePlan } from '#shared/service/plan.ts'
import { driverOf } from '../drivers/drivers.ts'
import { imagesOf, requireImage } from '../images/find.ts'
import { requireUnused } from '../images/remove.ts'
import { forgetContainer } from '../lifecycle/delete.ts'
import { apiPathOf, containerRecords } from '../model.ts'
import { requireStatus, settledForChange } from '../state/settle.ts'
import { planPrune } from './plan.ts'

type Given = Params<typeof prunes, 'prune'>
type Input = { remove: PruneItem[] }

async function removeContainer(op: Op, id: string): Promise<void> {
  if (!(await containerRecords.get(id))) return
  const container = await settledForChange(id, 'remove')
  requireStatus(container, 'remove', ['stopped'])
  await driverOf(container).remove(container, { volumes: false })
  await forgetContainer(op, container)
}

async function removeImage({ id, node, runtime }: PruneItem): Promise<void> {
  const { image } = await requireImage(id, () => true)
  requireUnused(image)
  await imagesOf(runtime).remove(await reach(node), image.engine_id)
}

/** Removes one thing of the plan. @returns the reason that it stays; null when it is gone */
async function removeOne(op: Op, item: PruneItem): Promise<string | null> {
  try {
    await (item.kind === 'container' ? removeContainer(op, item.id) : removeImage(item))
    return null
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    // A first try has removed it.
    return error.status === 404 ? null : error.message
  }
}

const pruning = operation({
  accept: async ({ plan: _, ...wish }: Given, accepting): Promise<Input> => {
    const plan = await planPrune(wish, accepting)
    requirePlan(plan)
    const pathOf = ({ kind, id }: PruneItem) => (kind === 'container' ? apiPathOf(id) : `/api/images/${id}`)
    await accepting.hold(...plan.remove.map(pathOf))
    return { remove: plan.remove }
  },
  run: async (op, { remove }): Promise<Result<typeof prunes, 'prune'>> => {
    const removed: PruneItem[] = []
    const kept: PruneItem[] = []
    await op.commit()
    for (const item of remove) {
      const reason = await op.step(`removing ${item.kind} ${item.id}`, () => removeOne(op, item))
      if (reason === null) removed.push(item)
      else kept.push({ ...item, reason })
      op.progress(removed.length + kept.length, remove.length, 'steps')
    }
    return { removed, kept }
  },
})

export const pruneService = implement(prunes, {
  prune: { ...pruning, plan: ({ plan: _, ...wish }: Given, call: Call) => planPrune(wish, call) },
})
