import { requireRight } from '#shared/access/require-right.ts'
import type { Container } from '#shared/contracts/container/containers.ts'
import { ConflictError } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { apiPathOf, containerRecords, viewOf } from '../model.ts'
import { waysToNode } from './mounts.ts'

/** Takes a discovered container into management. It is not touched. */
export async function adopt({ id }: { id: string }, call: Call): Promise<Container> {
  const record = await containerRecords.requireForChange(id)
  if (record.managed) throw new ConflictError(`Container '${id}' is managed already`)
  const ways = await waysToNode(await reach(record.node), record)
  // Its verbs give the node to their user.
  if (ways.length > 0) requireRight(call, 'ContainerPrivileged', apiPathOf(id))
  return viewOf(await containerRecords.change(id, () => ({ set: { managed: true, trusted: ways.length > 0 } })))
}
