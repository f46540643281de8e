import type { Change, Contract } from '#shared/contract/contract.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { Call } from '#shared/runtime/handler.ts'

/** End of the operation of one of several items. */
export type Outcome = { operation_id: string; failure: { error: string; message: string } | null }

/** The engine as the work of an operation sees it. ADR 0006 has the rules that work must keep. */
export type Op = {
  id: string
  user: string
  /** Aborted when the operation is cancelled or taken away from this process. */
  signal: AbortSignal
  /**
   * Does a named piece of work once: its result is in the journal, where a take-over finds it. Work and undo must bear
   * being run twice. Undo gets the result, or nothing when the work did not come to an end.
   */
  step: <T>(name: string, work: () => Promise<T>, how?: { undo?: (result?: T) => Promise<unknown> }) => Promise<T>
  /** Starts an operation of another service as a step, and waits for its end; a cancellation is passed on to it. */
  child: <C extends Contract, K extends keyof C['actions'] & string>(
    contract: C,
    action: K,
    params: Params<C, K>,
    how?: {
      name?: string
      undo?: () => Promise<unknown>
      /** The place of the child's progress in this operation's: so much was done before it, of so much in all. */
      within?: { before: number; total: number }
    },
  ) => Promise<Result<C, K>>
  /**
   * Starts an operation for each item, some at a time, as one step, and waits for the end of all. The failure of one is its
   * outcome and ends no other. A cancellation is passed on to those that run; those that have ended stay as they are.
   */
  children: <C extends Contract, K extends keyof C['actions'] & string>(
    contract: C,
    action: K,
    each: readonly Params<C, K>[],
  ) => Promise<Outcome[]>
  progress: (done: number, total: number | null, unit: 'bytes' | 'steps') => void
  log: (message: string) => void
  /** Adds events to the next write of the journal. */
  emit: (...events: Event[]) => void
  /** Forbids cancelling and undoing from here on: steps that fail are tried again. */
  commit: () => Promise<void>
}

/** The call of `accept`, with the engine's locks. */
export type Accepting = Call & {
  operationId: string
  /** Holds the resources that the operation works on, for as long as it lives. */
  hold: (...paths: string[]) => Promise<void>
  /** As `hold`, shared with other operations that only read it; a change is refused until the last of them has ended. */
  share: (...paths: string[]) => Promise<void>
  /** Holds a key that is no resource yet, such as a name that is about to be taken. */
  reserve: (...keys: string[]) => Promise<void>
}

export type OperationHandler<P = unknown, R = unknown> = {
  /** Checks and prepares, before the 202: everything that can be refused is refused here. Returns the input of `run`, without secrets. */
  accept: (params: P, accepting: Accepting) => Promise<unknown>
  run: (op: Op, input: never) => Promise<R>
  /** The effects that `run` would have, with their hash as `plan_id`. Changes nothing. */
  plan?: (params: P, call: Call) => Promise<unknown>
}

/** An operation's handler, with the type of the input that its two halves share. */
export const operation = <P, I, R>(handler: {
  accept: (params: P, accepting: Accepting) => Promise<I>
  run: (op: Op, input: I) => Promise<R>
}): OperationHandler<P, R> => handler

export type Kind = { service: string; action: Change; handler: OperationHandler }
const kinds = new Map<string, Kind>()

/** The kinds of operations that this process can run. */
export const registerKind = (name: string, service: string, action: Change, handler: OperationHandler) =>
  kinds.set(name, { service, action, handler })
export const kindOf = (name: string) => kinds.get(name)
export const servicesWithKinds = () => [...new Set([...kinds.values()].map(({ service }) => service))]
export const allKinds = () => kinds
