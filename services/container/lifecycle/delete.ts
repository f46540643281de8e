import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { driverOf } from '../drivers/drivers.ts'
import { apiPathOf, type ContainerRecord, containerRecords } from '../model.ts'
import { requireStatus, settledForChange } from '../state/settle.ts'
import { deletionOf } from './events.ts'

type Input = Pick<ContainerRecord, 'id' | 'name' | 'node' | 'runtime' | 'engine_id'> & { volumes: boolean }

export const remove = operation({
  accept: async (
    { id, force, volumes }: { id: string; force: boolean; volumes: boolean },
    { hold },
  ): Promise<Input> => {
    await hold(apiPathOf(id))
    const container = await settledForChange(id, 'delete')
    requireStatus(container, 'delete', force ? ['stopped', 'running', 'paused'] : ['stopped'])
    const { name, node, runtime, engine_id } = container
    return { id, name, node, runtime, engine_id, volumes }
  },
  run: async (op, container): Promise<null> => {
    await op.commit()
    await op.step('removing container', () => driverOf(container).remove(container, container))
    await op.step('unregistering', () => unregister(op, container))
    await op.step('forgetting rights', () => forgetRights(container))
    return null
  },
})

type Gone = Pick<ContainerRecord, 'id' | 'name'>
const forgetRights = ({ id }: Gone) => call(permissions, 'forget', { path: apiPathOf(id) })

/** Removes the record of a container that is gone from its engine, and the rights on it. */
export async function forgetContainer(op: Op, container: Gone): Promise<void> {
  await unregister(op, container)
  await forgetRights(container)
}

async function unregister(op: Op, container: Gone): Promise<void> {
  const deletion = await deletionOf(container)
  if ((await containerRecords.removeWhere({ _id: container.id }, deletion.for)) > 0) op.emit(deletion)
}
