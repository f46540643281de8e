import { AsyncLocalStorage } from 'node:async_hooks'
import { call } from '#shared/bus/call.ts'
import type { Contract, Params, Result } from '#shared/contract/contract.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { CancelledError, packError, unpackError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { type Entry, findEntry, isActive } from '#shared/operation/entries.ts'
import { announceProgress, type Progressing } from '#shared/operation/progress.ts'
import { followProgress, waitForEnd } from '#shared/operation/wait.ts'
import { log } from '#shared/runtime/log.ts'

/** The part of a child in the progress of its parent: the units done before it, and the total; or none. */
export type Within = { before: number; total: number } | 'apart'

/**
 * An operation of another service that runs as a step of this one. Its id follows from the parent's id and the step, so
 * that starting it again after a crash finds it.
 */
export function runChild<C extends Contract, K extends keyof C['actions'] & string>(
  parent: Progressing,
  step: string,
  contract: C,
  action: K,
  params: Params<C, K>,
  within?: Within,
): { id: string; work: () => Promise<Result<C, K>>; end: () => Promise<void> } {
  const id = idFrom(`${parent.journal.entry.id}/${step}`)
  return {
    id,
    work: async () => {
      await call(contract, action, params as never, { operationId: id })
      // The result of this action's operation, by its contract.
      return (await waitForChild(parent, id, within)) as Result<C, K>
    },
    /** Waits until the child has come to its end, which comes before the undoing of what it did. */
    end: async () => {
      const child = await findEntry(id)
      if (!child || !isActive(child)) return
      await call(operations, 'cancel', { id }).catch(() => undefined)
      await waitForEnd(id)
    },
  }
}

/**
 * Waits for a child; shows its progress as the parent's and passes cancelling on.
 * @throws the child's error; the reason of a run that is handed over or was taken over: the next run waits for the child
 */
async function waitForChild(parent: Progressing, id: string, within?: Within): Promise<unknown> {
  const { signal } = parent.abort
  const { promise: left, reject: leave } = Promise.withResolvers<never>()
  // An abort event runs in the context of its sender; the call must be made as this operation.
  const onAbort = AsyncLocalStorage.bind(() => {
    if (!(signal.reason instanceof CancelledError)) return leave(signal.reason as Error)
    call(operations, 'cancel', { id }).catch((error: Error) => log('operations').debug({ err: error }, 'not cancelled'))
  })
  signal.addEventListener('abort', onAbort, { once: true })
  // It may have come while the child was accepted.
  if (signal.aborted) onAbort()
  let furthest = 0
  const heard = ({ done, total, unit }: Pick<Entry['progress'], 'done' | 'total' | 'unit'>) => {
    // The journal tells of the same progress a little later than the bus.
    if (done < furthest) return
    furthest = done
    if (within === 'apart') return
    if (!within) announceProgress(parent, done, total, unit)
    else if (unit === 'bytes') announceProgress(parent, within.before + done, within.total, unit)
  }
  const unfollow = followProgress(id, AsyncLocalStorage.bind(heard))
  try {
    const ended = await Promise.race([waitForEnd(id, { onUpdate: ({ progress }) => heard(progress) }), left])
    if (ended.state === 'succeeded') return ended.result
    if (ended.state === 'cancelled') throw new CancelledError()
    throw unpackError(ended.failure ?? packError(undefined))
  } finally {
    unfollow()
    signal.removeEventListener('abort', onAbort)
  }
}
