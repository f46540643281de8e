import { setTimeout as delay } from 'node:timers/promises'
import { cut, type Load, type Sent, startLoad } from './load.ts'
import type { Part } from '../product/child-process.ts'

/** Requests a second: what is promised, and what is tried on a machine that is too busy for that even undisturbed. */
const paces = [50, 25, 12, 6]
const usualMs = 1000

export type How = 'killed' | 'stopped'

/** What happened while one process was away and came back. */
export type Turn = { name: string; perSecond: number; sent: Sent[]; failed: string[] }

type Door = { urls: string[]; token: string }

/** Whether everything is answered well and soon at this pace while nothing is broken. */
async function isFastEnough(door: Door, perSecond: number, loads: Load[], forMs = 2000): Promise<boolean> {
  const load = startLoad({ ...door, perSecond })
  loads.push(load)
  await delay(forMs)
  await load.stop()
  return load.sent.every(({ ms, status }) => ms < usualMs && status < 300)
}

const end = async (part: Part, how: How) => {
  if (how === 'killed') return part.kill()
  part.signal('SIGTERM')
  return part.ended()
}

/**
 * Ends a process under load and starts it again. When requests fail, and then also fail or take long with nothing
 * broken, the machine was too busy with other things to tell: it is tried again at a lower pace. All that was sent is in
 * `loads`, so that what was acknowledged can be looked for.
 */
export async function takeTurn(part: Part, how: How, door: Door, betweenMs: number, loads: Load[]): Promise<Turn> {
  for (const perSecond of paces) {
    if (!(await isFastEnough(door, perSecond, loads))) continue
    const load = startLoad({ ...door, perSecond })
    loads.push(load)
    const since = performance.now()
    await delay(betweenMs)
    await end(part, how)
    await delay(betweenMs)
    await part.start()
    await delay(betweenMs)
    await load.stop()
    // What had no key and was cut off with its gateway: nobody but its sender may repeat it.
    const isOfNobody = ({ status, line }: Sent) =>
      how === 'killed' && status === cut && line === 'POST /api/storage/pools'
    const failed = load.sent
      .filter((one) => (one.status < 200 || one.status >= 300) && !isOfNobody(one))
      .map(
        ({ at, line, status, ms, body }) =>
          `${part.name} ${how}, ${((at - since) / 1000).toFixed(1)} s: ${line} ${status} after ${Math.round(ms)} ms ${JSON.stringify(body)}`,
      )
    const turn = { name: part.name, perSecond, sent: load.sent, failed }
    const asLongMs = performance.now() - since
    if (failed.length === 0 || (await isFastEnough(door, perSecond, loads, asLongMs))) return turn
    process.stdout.write(`${part.name} ${how}: at ${perSecond}/s ${failed.length} failed, but so they do undisturbed\n`)
  }
  throw new Error('This machine is too busy for this test: it does not answer 6 requests a second within a second')
}
