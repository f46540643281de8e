import type { Change, Contract } from '#shared/contract/contract.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { Call } from '#shared/runtime/handler.ts'

/** What an operation's work is given. See the engine's page in docs for the rules that work must keep. */
export type Op = {
  id: string
  user: string
  /** Aborted when the operation is cancelled or taken away from this process. */
  signal: AbortSignal
  /**
   * Does a named piece of work once: its result is recorded, and found again by whoever carries on after a crash. Work
   * and undo must bear being run twice. Undo is given the result, or nothing when the work did not come to an end.
   */
  step: <T>(name: string, work: () => Promise<T>, how?: { undo?: (result?: T) => Promise<unknown> }) => Promise<T>
  /** Starts an operation of another service as a step, and waits for its end; cancelling passes through. */
  child: <C extends Contract, K extends keyof C['actions'] & string>(
    contract: C,
    action: K,
    params: Params<C, K>,
    how?: {
      name?: string
      undo?: () => Promise<unknown>
      /** Where the child's progress lies in this operation's: so much was done before it, of so much in all. */
      within?: { before: number; total: number }
    },
  ) => Promise<Result<C, K>>
  progress: (done: number, total: number | null, unit: 'bytes' | 'steps') => void
  log: (message: string) => void
  /** Has events written with the next entry of the journal. */
  emit: (...events: Event[]) => void
  /** From here on it can only go forward. */
  commit: () => Promise<void>
}

/** What accepting is given beside the call. */
export type Accepting = Call & {
  operationId: string
  /** Holds the resources that the operation works on, for as long as it lives. */
  hold: (...paths: string[]) => Promise<void>
  /** As `hold`, together with others who only read it: whoever wants to change it waits for all of them. */
  share: (...paths: string[]) => Promise<void>
  /** Holds what is no resource yet, such as a name that is about to be taken. */
  reserve: (...keys: string[]) => Promise<void>
}

export type OperationHandler<P = unknown, R = unknown> = {
  /** Checks and prepares, before the 202: whatever can be refused is refused here. Returns what `run` is to be given, without secrets. */
  accept: (params: P, accepting: Accepting) => Promise<unknown>
  run: (op: Op, input: never) => Promise<R>
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
