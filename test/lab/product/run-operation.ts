import type { Contract, Params } from '#shared/contract/contract.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { isActive } from '#shared/operation/entries.ts'
import type { TestHorcrux } from './horcrux.ts'

const waits = 5

/** Starts an operation and waits for its end, for five minutes at most. @returns the ended operation */
export async function work<C extends Contract, K extends keyof C['actions'] & string>(
  horcrux: Pick<TestHorcrux, 'call'>,
  contract: C,
  action: K,
  params: Params<C, K> | Record<string, unknown>,
  options?: Parameters<TestHorcrux['call']>[3],
): Promise<Operation> {
  // What accepts it asks an engine, which is slow on a busy machine.
  const patient = { timeoutMs: 60_000, ...options }
  const started = (await horcrux.call(contract, action, params, patient)) as unknown as Operation
  for (let waited = 1; ; waited++) {
    const found = await horcrux.call(
      operations,
      'wait',
      { id: started.id, timeout: 60 },
      { ...options, timeoutMs: 65_000 },
    )
    // A busy machine needs minutes where an idle one needs seconds.
    if (!isActive(found) || waited === waits) return found
  }
}

/** As {@link work}, for an operation that has to succeed. @returns its result */
export async function done<C extends Contract, K extends keyof C['actions'] & string>(
  horcrux: Pick<TestHorcrux, 'call'>,
  contract: C,
  action: K,
  params: Params<C, K> | Record<string, unknown>,
): Promise<unknown> {
  const ended = await work(horcrux, contract, action, params)
  if (ended.state !== 'succeeded') throw new Error(`${ended.kind} ${ended.state}: ${JSON.stringify(ended.error)}`)
  return ended.result
}
