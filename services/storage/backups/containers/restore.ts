import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import type { Container } from '#shared/contracts/container/containers.ts'
import type { containerBackups, ContainerRestorePlan } from '#shared/contracts/storage/container-backups.ts'
import { invalid } from '#shared/errors.ts'
import { idOfSeed, newId } from '#shared/ids.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { apiPathOf, backupRecords, storePathOf } from '../model.ts'
import { requireReady } from '../proof/verify.ts'
import { containerManifestOf } from '../store/open-store.ts'

type Given = Params<typeof containerBackups, 'restore'>
type Building = Params<typeof containerArchives, 'build'>
type Replacing = Params<typeof containerArchives, 'replace'>
type Input = { to: 'new'; building: Building } | { to: 'same'; replacing: Replacing }

const pathOf = (id: string) => `/api/containers/${id}`
/** Parameters of a new container, which its own one has already. */
const onlyNew = ['container_id', 'name', 'node', 'runtime', 'command', 'env', 'resource_pool'] as const

function buildingOf({
  id,
  start,
  container_id,
  name,
  node,
  runtime,
  command,
  env,
  bind_mounts,
  resource_pool,
}: Given): Building {
  const given = { container_id, name, node, runtime, command, env, resource_pool }
  const wanted = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { backup_id: id, bind_mounts, start, ...wanted }
}

/** Plans without effects. The rights on the container are required here. */
async function foresee(given: Given, asked: Call) {
  const backup = await backupRecords.require(given.id)
  requireReady(backup)
  if (given.to === 'new') {
    const { start: _, ...building } = buildingOf(given)
    const { resource_pool: inside, container_id = newId() } = given
    requireRight(
      asked,
      'ContainerAllocate',
      inside === undefined ? pathOf(container_id) : `/api/resource-pools/${inside}`,
    )
    return call(containerArchives, 'foreseeNew', building, { isQuestion: true })
  }
  const wrong = onlyNew.find((field) => given[field] !== undefined)
  if (wrong) throw invalid(wrong, 'is for a new container only')
  const { container } = await containerManifestOf(backup)
  requireRight(asked, 'ContainerAllocate', pathOf(container.id))
  return call(containerArchives, 'foreseeSame', { backup_id: given.id, id: container.id }, { isQuestion: true })
}

async function planOf(given: Given, asked: Call): Promise<ContainerRestorePlan> {
  const { needs_privilege, ...foreseen } = await foresee(given, asked)
  if (needs_privilege) requireRight(asked, 'ContainerPrivileged', pathOf(foreseen.container_id))
  const { data_bytes } = await backupRecords.require(given.id)
  const plan = { to: given.to, ...foreseen, data_bytes }
  if (given.to === 'same' || given.container_id !== undefined) return planned(plan)
  // The id of a new container that was given none is another one each time, and names of volumes follow from it.
  const { differences, ...effects } = plan
  const lasting = differences.filter(({ field }) => !field.startsWith('mounts.'))
  return planned(plan, { ...effects, container_id: '', differences: lasting })
}

async function accept(given: Given, accepting: Accepting): Promise<Input> {
  const backup = await backupRecords.require(given.id)
  // Neither a caller nor a retention deletes it meanwhile.
  await accepting.share(apiPathOf(given.id), storePathOf(backup.pool))
  const plan = await planOf(given, accepting)
  requirePlan(plan)
  const { container_id } = plan
  const { timeout, watch, start } = given
  if (given.to === 'same')
    return { to: 'same', replacing: { id: container_id, backup_id: given.id, start, timeout, watch } }
  const id = given.container_id ?? idOfSeed(accepting.operationId, 'restored container')
  return { to: 'new', building: { ...buildingOf(given), container_id: id } }
}

export const restore = {
  ...operation({
    accept,
    run: (op: Op, input: Input): Promise<Container> =>
      input.to === 'new'
        ? op.child(containerArchives, 'build', input.building, { name: 'building container' })
        : op.child(containerArchives, 'replace', input.replacing, { name: 'replacing files' }),
  }),
  plan: planOf,
}
