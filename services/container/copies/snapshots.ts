import { containerSnapshots } from '#shared/contracts/container/container-snapshots.ts'
import type { Container } from '#shared/contracts/container/containers.ts'
import { alreadyExists, ConflictError, notFound } from '#shared/errors.ts'
import { listOf } from '#shared/db/list-of.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import type { ListedSnapshot, Snapshots } from '../drivers/parts.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf, type ContainerRecord, containerRecords, viewOf } from '../model.ts'
import { requireStatus, settle, settledForChange } from '../state/settle.ts'

type Named = { id: string; name: string }

/** @throws ConflictError for an engine without snapshots */
function snapshotsOf(container: Pick<ContainerRecord, 'id' | 'runtime'>): Snapshots {
  const { snapshots } = driverOf(container)
  if (snapshots) return snapshots
  throw new ConflictError(`Container '${container.id}' has no snapshots: its engine makes none`)
}

const find = async (container: ContainerRecord, name: string): Promise<ListedSnapshot | undefined> =>
  (await snapshotsOf(container).list(container)).find((one) => one.name === name)

/** The container, held, in a state that its snapshots can be changed in. */
async function heldFor(action: string, { id }: Named, { hold }: Accepting): Promise<ContainerRecord> {
  await hold(apiPathOf(id))
  const container = await settledForChange(id, action)
  const { onlyStopped } = snapshotsOf(container)
  requireStatus(container, action, onlyStopped ? ['stopped'] : ['stopped', 'running'])
  return container
}

async function requireSnapshot(container: ContainerRecord, name: string): Promise<void> {
  if (!(await find(container, name))) throw notFound('Snapshot', name)
}

const create = operation({
  accept: async (given: Named, accepting): Promise<Named> => {
    const container = await heldFor('make a snapshot of', given, accepting)
    if (await find(container, given.name)) throw alreadyExists(given.name, { field: 'name' })
    return given
  },
  run: async (op, { id, name }): Promise<ListedSnapshot> => {
    const container = await containerRecords.require(id)
    const snapshots = snapshotsOf(container)
    await op.step('making snapshot', () => snapshots.create(container, name), {
      undo: () => snapshots.remove(container, name),
    })
    const made = await find(container, name)
    if (!made) throw notFound('Snapshot', name)
    return made
  },
})

const restore = operation({
  accept: async (given: Named, accepting): Promise<Named> => {
    await requireSnapshot(await heldFor('restore', given, accepting), given.name)
    return given
  },
  run: async (op, { id, name }): Promise<Container> => {
    const container = await containerRecords.require(id)
    // The state of before is gone with the first byte.
    await op.commit()
    await op.step('restoring', () => snapshotsOf(container).restore(container, name))
    return viewOf(await settle(id))
  },
})

const remove = operation({
  accept: async (given: Named, accepting): Promise<Named> => {
    await requireSnapshot(await heldFor('delete a snapshot of', given, accepting), given.name)
    return given
  },
  run: async (op, { id, name }): Promise<null> => {
    const container = await containerRecords.require(id)
    await op.commit()
    await op.step('deleting snapshot', () => snapshotsOf(container).remove(container, name))
    return null
  },
})

export const containerSnapshotService = implement(containerSnapshots, {
  list: async ({ id, ...query }, call) => {
    const container = await containerRecords.require(id)
    return listOf(await snapshotsOf(container).list(container), query, ({ name }) => name, call.maySee)
  },
  create,
  restore,
  delete: remove,
})
