import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { backups } from '#shared/contracts/storage/backups.ts'
import { containerBackups } from '#shared/contracts/storage/container-backups.ts'
import { AppError, ConflictError, LostLeaseError, packError, UnavailableError, unpackError } from '#shared/errors.ts'
import { idOfSeed } from '#shared/ids.ts'
import { findEntry } from '#shared/operation/entries.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { waitForEnd } from '#shared/operation/wait.ts'

/** The operations that a step has begun and that have not ended. */
export type Active = Set<string>

const endedBy = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    const end = () => reject(signal.reason as Error)
    if (signal.aborted) end()
    signal.addEventListener('abort', end, { once: true })
  })

/** Starts an operation, once the garbage collection has ended that holds its store; after an abort it starts none. */
async function afterCollection(start: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (;;)
    try {
      signal.throwIfAborted()
      return void (await start())
    } catch (error) {
      const holder = error instanceof ConflictError ? error.details['operation_id'] : undefined
      const entry = typeof holder === 'string' ? await findEntry(holder) : null
      if (entry?.kind !== 'backup-stores.collect') throw error
      await waitForEnd(entry.id)
    }
}

/**
 * Runs operations of backups inside a step, several at a time. Their ids follow from the parent's and a name, so that a step
 * that is repeated finds them. A failure is a result: it ends neither the step nor the other operations.
 */
export function childrenOf(op: Op, active: Active) {
  const aborted = endedBy(op.signal)
  aborted.catch(() => undefined)

  async function waitFor(name: string, start: (operationId: string) => Promise<unknown>): Promise<AppError | null> {
    const operationId = idOfSeed(op.id, name)
    op.signal.throwIfAborted()
    try {
      active.add(operationId)
      await Promise.race([afterCollection(() => start(operationId), op.signal), aborted])
      const { state, failure } = await Promise.race([waitForEnd(operationId), aborted])
      return state === 'succeeded' ? null : unpackError(failure ?? packError(undefined))
    } catch (error) {
      const isOurs = op.signal.aborted || error instanceof UnavailableError || error instanceof LostLeaseError
      if (isOurs || !(error instanceof AppError)) throw error
      return error
    } finally {
      active.delete(operationId)
    }
  }

  return {
    /** @returns the error of a backup that stays; null: it is gone */
    remove: (id: string) =>
      waitFor(`deleting ${id}`, (operationId) => call(backups, 'delete', { id }, { operationId })),
    /** @returns the error of a backup that was not made; null: it was */
    save: (given: Params<typeof backups, 'createFor'>) =>
      waitFor(`saving ${given.vm_id}`, (operationId) => call(backups, 'createFor', given, { operationId })),
    saveContainer: (given: Params<typeof containerBackups, 'createFor'>) =>
      waitFor(`saving container ${given.container_id}`, (operationId) =>
        call(containerBackups, 'createFor', given, { operationId }),
      ),
  }
}

/** Cancels operations; one that has ended, or has come too far, ends by itself. */
export async function cancelAll(active: Active): Promise<void> {
  for (const id of active)
    await call(operations, 'cancel', { id }).catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error
    })
}
