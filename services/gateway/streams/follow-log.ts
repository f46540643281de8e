import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceBroker } from 'moleculer'
import type { Caller } from '#shared/access/access.ts'
import { question } from '#shared/bus/call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { containers } from '#shared/contracts/container/containers.ts'
import { UnavailableError } from '#shared/errors.ts'

type Answer = Result<typeof containers, 'logs'>
type From = Pick<Params<typeof containers, 'logs'>, 'tail' | 'since' | 'cursor'>
type Asked = {
  id: string
  from: From
  /** The caller of now: rights may change while a log is followed. */
  caller: () => Promise<Caller> | Caller
  requestId: string
  isOpen: () => boolean
}

const waitSeconds = 1
const answerWithinMs = 10_000
const againAfterMs = 500

/**
 * The log of a container, part by part, for as long as its reader is there. It goes on after a restart of the container or
 * of its engine: while the engine is away nothing comes, and `gap` in a part says that lines may be missing before it.
 * @throws the error of the question when the container is gone, or the caller may no longer read it
 */
export async function* followLog(
  broker: ServiceBroker,
  { id, from, caller, requestId, isOpen }: Asked,
): AsyncGenerator<Answer> {
  let place = from
  while (isOpen()) {
    const meta = { caller: await caller(), requestId }
    try {
      const params = { id, ...place, wait: waitSeconds }
      const answer = (await question(broker, 'containers.logs', params, meta, answerWithinMs)) as Answer
      if (answer.lines.length > 0 || answer.gap || place.cursor === undefined) yield answer
      place = { tail: 10_000, cursor: answer.next_cursor }
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      await delay(againAfterMs)
    }
  }
}
