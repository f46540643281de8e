import autocannon from 'autocannon'

type Asked = { connections?: number; seconds?: number; headers?: Record<string, string> }
export type Measured = { perSecond: number; medianMs: number }

/** Asks for one address as fast as it is answered, from a thread of its own. @throws when an answer is not 200 */
export async function load(
  url: string,
  { connections = 10, seconds = 3, headers = {} }: Asked = {},
): Promise<Measured> {
  await once(url, 1, connections, headers)
  const { requests, latency, non2xx, errors, duration } = await once(url, seconds, connections, headers)
  if (non2xx + errors > 0) throw new Error(`${url}: ${non2xx} answers were no success, ${errors} did not come`)
  return { perSecond: requests.total / duration, medianMs: latency.p50 }
}

const once = (url: string, duration: number, connections: number, headers: Record<string, string>) =>
  autocannon({ url, duration, connections, headers, workers: 1 })

/** Medians of single requests, one after the other, in ms with fractions. */
export async function medianOf(url: string, headers: Record<string, string>, count = 200): Promise<number> {
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const before = performance.now()
    const answer = await fetch(url, { headers })
    await answer.arrayBuffer()
    times.push(performance.now() - before)
  }
  return times.sort((a, b) => a - b)[count >> 1]!
}
