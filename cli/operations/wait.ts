import { CommandError, exitCodes } from '../errors.ts'
import { follow } from '../http/events.ts'
import { ask } from '../http/request.ts'
import type { Target } from '../http/target.ts'
import { note } from '../output/print.ts'
import { type OperationView, progressBar } from '../output/progress.ts'

const active = ['queued', 'running', 'cancelling']
export const isActive = ({ state }: OperationView) => active.includes(state)

export const isOperationBody = (body: unknown): body is OperationView =>
  typeof body === 'object' && body !== null && 'kind' in body && 'steps' in body && 'state' in body

/** The server holds a request at most so long. Seconds. */
const longestHoldSeconds = 30

type Wish = { isQuiet: boolean; timeoutSeconds?: number | undefined }

/**
 * Waits for the end of an operation and shows its progress. Ctrl-C: the first tells how to go on, the second cancels
 * and waits for the undo, the third leaves.
 * @throws CommandError if it failed, or the time is over
 */
export async function waitFor(
  target: Target,
  started: OperationView,
  { isQuiet, timeoutSeconds }: Wish,
): Promise<OperationView> {
  const bar = progressBar({ isQuiet })
  const ending = new AbortController()
  const interrupts = onInterrupts(target, started, bar.clear)
  const until = timeoutSeconds === undefined ? Infinity : performance.now() + timeoutSeconds * 1000
  let operation = started
  const take = (next: OperationView) => {
    // Events may come later than answers.
    if (next.id !== started.id || next.version < operation.version) return
    operation = next
    if (isActive(operation)) bar.show(operation)
  }
  const showing = bar.isShown ? showProgress(target, ending.signal, take) : undefined
  try {
    while (isActive(operation)) {
      const leftSeconds = (until - performance.now()) / 1000
      if (leftSeconds <= 0) throw timedOut(operation, timeoutSeconds!)
      const hold = Math.max(0.1, Math.min(longestHoldSeconds, leftSeconds))
      const { body } = await ask<OperationView>(target, {
        path: `/operations/${started.id}/wait?timeout=${hold.toFixed(1)}`,
      })
      take(body)
    }
  } finally {
    ending.abort()
    bar.clear()
    interrupts.stop()
    await showing
  }
  if (operation.state !== 'succeeded') throw failed(operation, interrupts.isCancelled())
  return operation
}

/** Progress between the answers; without the event stream there is only less of it. */
async function showProgress(target: Target, signal: AbortSignal, take: (next: OperationView) => void): Promise<void> {
  try {
    for await (const { type, data } of follow(target, { topics: ['operations'], signal }))
      // The type of the event says what its data is.
      if (type === 'OperationUpdated') take(data as unknown as OperationView)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
  }
}

function onInterrupts(target: Target, { id, kind }: OperationView, clear: () => void) {
  let count = 0
  const interrupt = () => {
    count++
    clear()
    if (count === 1) note(`\n${kind} goes on as operation ${id}. Ctrl-C again cancels it and undoes its steps.`)
    else if (count === 2) {
      note('\ncancelling; Ctrl-C again leaves')
      ask(target, { method: 'POST', path: `/operations/${id}/cancel` }).catch((error: Error) => note(error.message))
    } else process.exit(exitCodes.interrupted)
  }
  process.on('SIGINT', interrupt)
  return { stop: () => void process.off('SIGINT', interrupt), isCancelled: () => count >= 2 }
}

const timedOut = ({ id, kind }: OperationView, seconds: number) =>
  new CommandError(`${kind} has not ended within ${seconds} s; it goes on`, {
    code: exitCodes.timedOut,
    help: [`horcrux operations wait ${id}`, `horcrux operations cancel ${id}`],
  })

function failed({ id, kind, state, error, stage }: OperationView, isCancelled: boolean): CommandError {
  const why = error?.message ?? stage ?? ''
  return new CommandError(`${kind} ${state.replaceAll('_', ' ')}${why ? `: ${why}` : ''}`, {
    code: isCancelled ? exitCodes.interrupted : exitCodes.operationFailed,
    help: [`horcrux operations log ${id}`],
    body: error,
  })
}
