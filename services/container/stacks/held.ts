import { ConflictError, notFound } from '#shared/errors.ts'
import type { Accepting } from '#shared/operation/kinds.ts'
import { apiPathOf, containerRecords } from '../model.ts'
import { stackIdOf, stackPathOf, type StackRecord, stackRecords } from './model.ts'

/** @throws ConflictError for a project that others have brought up; NotFoundError for none */
export async function requireStack(id: string): Promise<StackRecord> {
  const stack = await stackRecords.get(id)
  if (stack) return stack
  const shown = await containerRecords.all({ stack: { $ne: null } })
  if (!shown.some(({ node, runtime, stack }) => stackIdOf(node, runtime, stack!) === id)) throw notFound('Stack', id)
  throw new ConflictError(
    `Stack '${id}' was brought up by others and is only shown: its Compose file is not known here`,
    {
      details: { managed: false },
    },
  )
}

/** Holds a stack and its containers for an operation. */
export async function holdStack(id: string, { hold }: Accepting): Promise<StackRecord> {
  await hold(stackPathOf(id))
  await requireStack(id)
  const stack = await stackRecords.requireForChange(id)
  const { node, runtime, name } = stack
  const own = await containerRecords.all({ node, runtime, stack: name })
  await hold(...own.map((container) => apiPathOf(container.id)))
  return stack
}
