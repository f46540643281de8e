import type { Params } from '#shared/contract/contract.ts'
import type { Container, containers } from '#shared/contracts/container/containers.ts'
import type { Limits } from '#shared/contracts/container/parts.ts'
import { alreadyExists, ConflictError, type Violation } from '#shared/errors.ts'
import { cgroupOf } from '#shared/nodes/host/cgroup/cgroup.ts'
import { memoryUseOf } from '#shared/nodes/host/cgroup/limits.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { changing } from '#shared/operation/locks.ts'
import { subjectOf } from '#shared/access/access.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf, type ContainerRecord, containerRecords, nameKeyOf, viewOf } from '../model.ts'
import { requireStatus, settle, settledForChange } from '../state/settle.ts'
import { throwAll } from '#shared/service/violations.ts'
import { withRoom } from './room.ts'

type Given = Params<typeof containers, 'update'>

/** The limits that a request changes. */
function changedLimits({ memory, cpus, pids }: Given, container: ContainerRecord): Partial<Limits> {
  const given = Object.entries({ memory, cpus, pids }) as [keyof Limits, number | null | undefined][]
  return Object.fromEntries(given.filter(([key, value]) => value !== undefined && value !== container[key]))
}

/** Limits that the engine cannot take away. */
function endless(container: ContainerRecord, wanted: Partial<Limits>): Violation[] {
  const { limits } = driverOf(container)
  return limits.keeps.flatMap((field) =>
    wanted[field] === null
      ? [{ field, code: 'unsupported', message: 'cannot be taken away by this engine: give a higher limit' }]
      : [],
  )
}

async function changeLimits(container: ContainerRecord, wanted: Partial<Limits>): Promise<void> {
  try {
    await driverOf(container).limits.change(container, wanted)
  } catch (error) {
    if (!(error instanceof ConflictError) || wanted.memory === undefined || container.pid === null) throw error
    const { host } = await reach(container.node)
    const cgroup = await cgroupOf(host, container.pid)
    const used = cgroup && (await memoryUseOf(host, cgroup))
    throw new ConflictError(
      `${error.message}. Container '${container.id}' uses ${used ?? 'an unknown amount of'} MiB`,
      {
        details: { used_mib: used },
        cause: error,
      },
    )
  }
}

async function rename(container: ContainerRecord, name: string): Promise<void> {
  const { node, runtime } = container
  const driver = driverOf(container)
  const { pattern, message } = driver.nameRule
  if (!pattern.test(name)) throwAll([{ field: 'name', code: 'invalid', message }])
  if (!driver.rename)
    throw new ConflictError(`Container '${container.id}' keeps its name: for ${runtime} it is its identity`)
  if (driver.rename.onlyStopped) requireStatus(container, 'rename', ['stopped'])
  if (await containerRecords.find({ node, runtime, name })) throw alreadyExists(name, { field: 'name' })
  await driver.rename.to(container, name)
}

/** Changes limits, also while the container runs, and the name. The answer has the limits that the kernel has. */
export async function update(given: Given, { caller }: Call): Promise<Container> {
  const { id, name } = given
  return changing(apiPathOf(id), subjectOf(caller), 'containers.update', async () => {
    const container = await settledForChange(id, 'change')
    requireStatus(container, 'change', ['running', 'stopped', 'paused'])
    const wanted = changedLimits(given, container)
    throwAll(endless(container, wanted))
    if (name !== undefined && name !== container.name) {
      const { node, runtime } = container
      await changing(nameKeyOf({ node, runtime, name }), subjectOf(caller), 'containers.update', () =>
        rename(container, name),
      )
    }
    if (Object.keys(wanted).length > 0)
      await withRoom(container, { ...container, ...wanted }, async () => {
        await changeLimits(container, wanted)
        // The limits of the next start, which the engine of a stopped container may not tell.
        await containerRecords.updateWhere({ _id: id }, { set: wanted })
      })
    return viewOf(await settle(id))
  })
}
