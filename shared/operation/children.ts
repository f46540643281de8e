import { isBusConnected } from '#shared/bus/bus.ts'
import type { Contract, Params } from '#shared/contract/contract.ts'
import { AppError, CancelledError, HandoverError, LostLeaseError, UnavailableError } from '#shared/errors.ts'
import { runChild } from '#shared/operation/child.ts'
import { findEntry, isActive } from '#shared/operation/entries.ts'
import type { Outcome } from '#shared/operation/kinds.ts'
import { announceProgress, type Progressing } from '#shared/operation/progress.ts'

/** Operations of one parent that run at a time. */
const together = 4

type Child = Pick<ReturnType<typeof runChild>, 'id' | 'end'> & { work: () => Promise<unknown> }

/** Operations of many items as one step of a parent. Their ids follow from the step and their places in `each`. */
export function childrenOf<C extends Contract, K extends keyof C['actions'] & string>(
  parent: Progressing,
  step: string,
  contract: C,
  action: K,
  each: readonly Params<C, K>[],
): { work: () => Promise<Outcome[]>; end: () => Promise<void> } {
  const children: Child[] = each.map((params, index) =>
    runChild(parent, `${step} ${index}`, contract, action, params, 'apart'),
  )
  return {
    work: async () => {
      const outcomes: Outcome[] = []
      let next = 0
      let done = 0
      const worker = async () => {
        while (next < children.length) {
          parent.abort.signal.throwIfAborted()
          const index = next++
          outcomes[index] = await outcomeOf(parent, children[index]!)
          announceProgress(parent, ++done, children.length, 'steps')
        }
      }
      const workers = await Promise.allSettled(Array.from({ length: together }, worker))
      const stopped = workers.find(({ status }) => status === 'rejected')
      if (stopped) throw (stopped as PromiseRejectedResult).reason
      return outcomes
    },
    end: async () => {
      await Promise.all(children.map(({ end }) => end()))
    },
  }
}

/** Waits for the end of a child. @throws the reason for which this run of the parent ends, or an error while the child goes on */
async function outcomeOf(parent: Progressing, { id, work }: Child): Promise<Outcome> {
  try {
    await work()
    return { operation_id: id, failure: null }
  } catch (error) {
    if (error instanceof LostLeaseError || error instanceof HandoverError) throw error
    if (parent.abort.signal.aborted) throw error
    // Its service did not answer: it may have been accepted, and this step is tried again.
    if (error instanceof UnavailableError && (error.details['outcome'] !== undefined || !isBusConnected())) throw error
    const entry = await findEntry(id)
    if (entry && isActive(entry)) throw error
    // A bug in one is an error of its own operation, or of its acceptance, and on record there.
    const failure =
      error instanceof CancelledError || !(error instanceof AppError)
        ? { error: 'CANCELLED', message: (error as Error).message }
        : { error: error.error, message: error.message }
    return { operation_id: id, failure }
  }
}
