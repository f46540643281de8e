import type { Params } from '#shared/contract/contract.ts'
import type { Stack, StackPlan, stacks } from '#shared/contracts/container/stacks.ts'
import { alreadyExists, ConflictError, ValidationError, type Violation } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requirePlan } from '#shared/service/plan.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { down, forgetLock, placeOf, recordContainers, type Target, up, watchContainers } from './bring.ts'
import { checkedProject, requireRights } from './check.ts'
import { projectIn, scalesOf, type Sealed, sealProject, stackIdOf, stackPathOf, stackRecords } from './model.ts'
import { planUp } from './plan.ts'
import { parseProject } from './project/parse.ts'
import type { Project } from './project/schema.ts'
import { composingOf, type StackPlace, standingOf } from './standing.ts'
import { stackView } from './view.ts'

type Given = Params<typeof stacks, 'create'>
type Wanted = { name: string; node: string; runtime: Given['runtime']; compose_file: string }

const undoGraceSeconds = 1

/** The engine of a stack that can be brought up there. */
async function checkedPlace(
  { name, node, runtime }: Omit<Wanted, 'compose_file'>,
  violations: Violation[],
): Promise<StackPlace | undefined> {
  const composing = await checking('runtime', violations, async () => composingOf(runtime))
  const reached = await checking('node', violations, () => reach(node))
  if (reached?.node.maintenance)
    violations.push({ field: 'node', code: 'maintenance', message: `'${node}' is in maintenance` })
  if (reached && composing && !(await composing.isThere(reached)))
    violations.push({ field: 'node', code: 'unsupported', message: 'has no Compose: install docker-compose' })
  return reached && composing && { reached, runtime, name }
}

/** The project that a file describes, checked against its node. @throws ValidationError with all violations */
export async function wantedProject(
  wanted: Wanted,
  call: Pick<Call, 'caller' | 'rights'>,
): Promise<{ place: StackPlace; project: Project }> {
  const violations: Violation[] = []
  const place = await checkedPlace(wanted, violations)
  const parsed = await checking('compose_file', violations, async () => parseProject(wanted.compose_file, wanted.name))
  if (place && parsed) requireRights(call, place, parsed)
  const project = place && parsed && (await checkedProject(place, parsed, violations))
  throwAll(violations)
  // Without one there is a violation.
  if (!project) throw new ValidationError(violations)
  return { place, project }
}

type Planned = { target: Target; project: Project; plan: StackPlan }

async function planned(
  { name, node, runtime, compose_file }: Wanted,
  call: Pick<Call, 'caller' | 'rights'>,
): Promise<Planned> {
  const id = stackIdOf(node, runtime, name)
  if (await stackRecords.get(id)) throw alreadyExists(name, { field: 'name' })
  const { place, project } = await wantedProject({ name, node, runtime, compose_file }, call)
  const { standing, owned } = await standingOf(place, project)
  if (standing.length > 0)
    throw new ConflictError(
      `The engine has ${standing.length} container(s) of a project '${name}' that others have brought up: take it down there, or choose another name`,
      { details: { containers: standing.length } },
    )
  return { target: { id, name, node, runtime }, project, plan: planUp({ id, name, standing, owned }, project) }
}

/** Volumes that are made with a stack, and go with its failure. */
export const volumesMade = ({ volumes }: StackPlan) =>
  volumes.filter(({ action }) => action === 'create').map(({ name }) => name)

type Input = Target & { sealed: Sealed; volumes: string[]; watch: number }

async function takeDown(op: Op, input: Input): Promise<void> {
  await down(input, input.sealed, { graceSeconds: undoGraceSeconds, volumes: false })
  const { reached } = await placeOf(input)
  await composingOf(input.runtime).removeVolumes(reached, input.volumes)
  await recordContainers(op, input)
  await forgetLock(input)
}

async function register({ id, name, node, runtime, sealed }: Input): Promise<void> {
  if (await stackRecords.get(id)) return
  const at = now()
  const services = scalesOf(projectIn(sealed))
  await stackRecords.insert({ id, name, node, runtime, ...sealed, services, created_at: at, updated_at: at })
}

const bringing = operation({
  accept: async ({ watch, plan: _, ...wanted }: Given, accepting: Accepting): Promise<Input> => {
    const { node, runtime, name } = wanted
    await accepting.hold(stackPathOf(stackIdOf(node, runtime, name)))
    const { target, project, plan } = await planned(wanted, accepting)
    requirePlan(plan)
    return { ...target, sealed: sealProject(wanted.compose_file, project), volumes: volumesMade(plan), watch }
  },
  run: async (op, input): Promise<Stack> => {
    await op.step('bringing up', () => up(input, input.sealed, 0, op.signal), { undo: () => takeDown(op, input) })
    await op.step('watching containers', () => watchContainers(op, input, input.watch))
    await op.step('registering containers', () => recordContainers(op, input))
    await op.step('registering', () => register(input), { undo: () => stackRecords.removeWhere({ _id: input.id }) })
    return stackView(input.id)
  },
})

export const create = {
  ...bringing,
  plan: async ({ watch: _watch, plan: _plan, ...wanted }: Given, call: Call) => (await planned(wanted, call)).plan,
}
