import { fraction, ranSeconds, type Run } from '#shared/nodes/simulated/activity.ts'
import type { Ref } from '../driver.ts'
import type { LogLine, TimedLogs } from '../log-lines.ts'

const paths = ['/', '/login', '/api/items', '/api/items/7', '/assets/app.js', '/healthz']
/** The most lines that are kept. */
const kept = 20_000

/** One request of a web server: follows from the container and the number of the line. */
function lineOf(id: string, number: number, atMs: number): LogLine {
  const random = (word: string) => fraction(`${id} ${number}`, word)
  const status = random('status') < 0.97 ? 200 : 503
  const text = `GET ${paths[Math.floor(random('path') * paths.length)]} ${status} ${Math.ceil(200 * random('ms') ** 4)} ms`
  return { nanos: BigInt(atMs) * 1_000_000n, stream: status === 200 ? 1 : 2, text, truncated: false }
}

/** The log of a simulated container: a line every few seconds of its run. */
export function simulatedLog(find: (ref: Ref) => (Run & { id: string }) | null): TimedLogs {
  return {
    kind: 'timed',
    lines: async function* (ref, { sinceSeconds, tailFragments }) {
      const found = find(ref)
      if (!found) return
      const everyMs = 1000 + Math.round(9000 * fraction(found.id, 'log'))
      const now = Date.now()
      const total = Math.floor((ranSeconds(found, now) * 1000) / everyMs)
      const begin = (found.since ?? now) - found.ran_ms
      const first = Math.max(0, total - Math.min(kept, tailFragments ?? kept))
      for (let number = first; number < total; number++) {
        const at = Math.round(begin + number * everyMs)
        if (sinceSeconds === null || at >= sinceSeconds * 1000) yield [lineOf(found.id, number, at)]
      }
    },
  }
}
