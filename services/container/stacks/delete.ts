import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { StackPlan, stacks } from '#shared/contracts/container/stacks.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { requirePlan } from '#shared/service/plan.ts'
import { down, forgetLock, placeOf, recordContainers, type Target } from './bring.ts'
import { holdStack, requireStack } from './held.ts'
import { type Sealed, stackPathOf, type StackRecord, stackRecords } from './model.ts'
import { planDown } from './plan.ts'
import { composingOf, standingOf } from './standing.ts'

type Given = Params<typeof stacks, 'delete'>
type Input = Target & { sealed: Sealed; timeout: number; volumes: string[]; withVolumes: boolean }

const planned = async (stack: StackRecord, withVolumes: boolean): Promise<StackPlan> =>
  planDown({ id: stack.id, name: stack.name, ...(await standingOf(await placeOf(stack), null)) }, withVolumes)

const taking = operation({
  accept: async ({ id, timeout, volumes: withVolumes }: Given, accepting: Accepting): Promise<Input> => {
    const stack = await holdStack(id, accepting)
    const plan = await planned(stack, withVolumes)
    requirePlan(plan)
    const { name, node, runtime, config, project } = stack
    const volumes = plan.volumes.filter(({ action }) => action === 'remove').map((volume) => volume.name)
    return { id, name, node, runtime, sealed: { config, project }, timeout, volumes, withVolumes }
  },
  run: async (op, input): Promise<null> => {
    const { id, timeout: graceSeconds, withVolumes } = input
    await op.commit()
    await op.step('taking down', () => down(input, input.sealed, { graceSeconds, volumes: withVolumes }))
    // Also those of earlier files.
    await op.step('removing volumes', async () =>
      composingOf(input.runtime).removeVolumes((await placeOf(input)).reached, input.volumes),
    )
    await op.step('forgetting containers', () => recordContainers(op, input))
    await op.step('unregistering', () => stackRecords.removeWhere({ _id: id }))
    await op.step('forgetting rights', () => call(permissions, 'forget', { path: stackPathOf(id) }))
    await op.step('removing the lock', () => forgetLock(input))
    return null
  },
})

export const remove = {
  ...taking,
  plan: async ({ id, volumes }: Given) => planned(await requireStack(id), volumes),
}
