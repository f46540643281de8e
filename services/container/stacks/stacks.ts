import { type Stack, stacks } from '#shared/contracts/container/stacks.ts'
import { listOf } from '#shared/db/list-of.ts'
import { everything } from '#shared/db/page.ts'
import { notFound } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { visibleTo } from '../images/find.ts'
import { containerRecords } from '../model.ts'
import { create } from './create.ts'
import { remove } from './delete.ts'
import { requireStack } from './held.ts'
import { configIn, stackIdOf, stackPathOf, stackRecords } from './model.ts'
import { update } from './update.ts'
import { stacksOf } from './view.ts'

/** The stacks that a caller may see: all of those with the right on the stack, of others the containers that they may see. */
async function visible(call: Pick<Call, 'caller' | 'rights'>): Promise<Stack[]> {
  const { caller, rights } = call
  const maySee = visibleTo(call)
  const maySeeStack = (id: string) => caller.kind === 'service' || rights.allows('ContainerAudit', stackPathOf(id))
  const all = await containerRecords.all({ stack: { $ne: null } })
  const shown = all.filter(
    ({ id, node, runtime, stack }) => maySee(id) || maySeeStack(stackIdOf(node, runtime, stack!)),
  )
  const records = await stackRecords.all()
  const withContainers = new Set(shown.map(({ node, runtime, stack }) => stackIdOf(node, runtime, stack!)))
  return stacksOf(
    shown,
    records.filter(({ id }) => maySeeStack(id) || withContainers.has(id)),
  )
}

export const stackService = implement(stacks, {
  list: async (query, call) => listOf(await visible(call), query, ({ id }) => id, everything),
  get: async ({ id }, call) => {
    const found = (await visible(call)).find((stack) => stack.id === id)
    if (!found) throw notFound('Stack', id)
    return found
  },
  config: async ({ id }) => ({ compose_file: configIn(await requireStack(id)) }),
  create,
  update,
  delete: remove,
})
