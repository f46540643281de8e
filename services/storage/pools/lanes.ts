import { UnavailableError } from '#shared/errors.ts'

/** Time in which a storage pool answers a query. */
const answerMs = 4000
/** Calls of one storage pool on one node that may be stuck at a time; with so many, no further one is started. */
const mostStuck = 4

/** Calls that have not answered in time and have not ended, by storage pool and node. */
const stuckCalls = new Map<string, number>()

export const stuckIn = (lane: string): number => stuckCalls.get(lane) ?? 0

function leave(lane: string): void {
  const left = stuckIn(lane) - 1
  if (left > 0) stuckCalls.set(lane, left)
  else stuckCalls.delete(lane)
}

/**
 * Waits for the answer of a storage pool. A call that is late goes on and is counted until it ends, so that storage that
 * hangs takes a bounded number of processes, and no time of calls to other storage pools.
 * @param lane key of the storage pool on a node
 * @throws UnavailableError when it is late, at once while several are stuck already
 */
export async function answer<T>(
  lane: string,
  name: string,
  ask: () => Promise<T>,
  { withinMs = answerMs }: { withinMs?: number | undefined } = {},
): Promise<T> {
  const stuck = stuckIn(lane)
  if (stuck >= mostStuck)
    throw new UnavailableError(`${name} does not answer: ${stuck} calls are stuck in it`, { details: { stuck } })
  const asked = ask()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const count = stuckIn(lane) + 1
      stuckCalls.set(lane, count)
      const over = () => leave(lane)
      asked.then(over, over)
      reject(
        new UnavailableError(`${name} does not answer within ${withinMs / 1000} s; ${count} call(s) are stuck in it`, {
          details: { stuck: count },
        }),
      )
    }, withinMs)
  })
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
  }
}
