import type { Params } from '#shared/contract/contract.ts'
import type { Stack, StackPlan, stacks } from '#shared/contracts/container/stacks.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requirePlan } from '#shared/service/plan.ts'
import { placeOf, recordContainers, type Target, up, watchContainers } from './bring.ts'
import { volumesMade, wantedProject } from './create.ts'
import { holdStack, requireStack } from './held.ts'
import { projectIn, scalesOf, type Sealed, sealProject, type StackRecord, stackRecords } from './model.ts'
import { planUp } from './plan.ts'
import type { Project } from './project/schema.ts'
import { composingOf, standingOf } from './standing.ts'
import { stackView } from './view.ts'

type Given = Params<typeof stacks, 'update'>
type Input = Target & { sealed: Sealed; former: Sealed; volumes: string[]; timeout: number; watch: number }

const undoGraceSeconds = 1

async function planned(
  { id, name, node, runtime }: StackRecord,
  compose_file: string,
  call: Pick<Call, 'caller' | 'rights'>,
): Promise<{ project: Project; plan: StackPlan }> {
  const { place, project } = await wantedProject({ name, node, runtime, compose_file }, call)
  return { project, plan: planUp({ id, name, ...(await standingOf(place, project)) }, project) }
}

async function register({ id }: Input, sealed: Sealed): Promise<void> {
  await stackRecords.updateWhere({ _id: id }, { set: { ...sealed, services: scalesOf(projectIn(sealed)) } })
}

/** Brings up the file of before, and removes the volumes that only the new one has. */
async function goBack(op: Op, input: Input): Promise<void> {
  await up(input, input.former, undoGraceSeconds)
  const { reached } = await placeOf(input)
  await composingOf(input.runtime).removeVolumes(reached, input.volumes)
  await recordContainers(op, input)
}

const changing = operation({
  accept: async ({ id, compose_file, timeout, watch }: Given, accepting: Accepting): Promise<Input> => {
    const stack = await holdStack(id, accepting)
    const { project, plan } = await planned(stack, compose_file, accepting)
    requirePlan(plan)
    const { name, node, runtime, config, project: formerProject } = stack
    const former = { config, project: formerProject }
    const sealed = sealProject(compose_file, project)
    return { id, name, node, runtime, sealed, former, volumes: volumesMade(plan), timeout, watch }
  },
  run: async (op, input): Promise<Stack> => {
    await op.step('bringing up', () => up(input, input.sealed, input.timeout, op.signal), {
      undo: () => goBack(op, input),
    })
    await op.step('watching containers', () => watchContainers(op, input, input.watch))
    await op.step('registering containers', () => recordContainers(op, input))
    await op.step('registering', () => register(input, input.sealed), { undo: () => register(input, input.former) })
    return stackView(input.id)
  },
})

export const update = {
  ...changing,
  plan: async ({ id, compose_file }: Given, call: Call) =>
    (await planned(await requireStack(id), compose_file, call)).plan,
}
