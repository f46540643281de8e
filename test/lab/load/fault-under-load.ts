import { cut, type Load, type Sent, startLoad } from './load.ts'
import type { Part } from '../product/child-process.ts'
import { until } from '../wait.ts'

/**
 * Requests a second: a pace at which two processors can also start a process anew while a storage pool is made every few
 * requests, then lower ones for a machine that is too busy for it even undisturbed.
 */
const paces = [20, 10, 5]

export type How = 'killed' | 'stopped'

/** The requests sent while one process was away and came back. */
export type FaultUnderLoad = { name: string; perSecond: number; sent: Sent[]; failed: string[] }

type Gateways = { urls: string[]; token: string }

const answered = async ({ sent }: Load, count: number) => {
  const wanted = sent.length + count
  await until(() => sent.length >= wanted, { what: `${count} answers` })
}

/** Checks that this number of requests succeeds at this pace while nothing is broken. */
async function succeedsUndisturbed(to: Gateways, perSecond: number, loads: Load[], count: number): Promise<boolean> {
  const load = startLoad({ ...to, perSecond })
  loads.push(load)
  await answered(load, count)
  await load.stop()
  return load.sent.every(({ status }) => status >= 200 && status < 300)
}

const end = async (part: Part, how: How) => {
  if (how === 'killed') return part.kill()
  part.signal('SIGTERM')
  return part.ended()
}

/**
 * Ends a process under load and starts it again, with so many seconds' worth of answers before, between and after. When
 * requests fail, and fail with nothing broken too, the machine is too busy to tell: it is tried again at a lower pace.
 * All requests are in `loads`, so that the acknowledged changes can be looked for.
 */
export async function faultUnderLoad(
  part: Part,
  how: How,
  to: Gateways,
  secondsEach: number,
  loads: Load[],
): Promise<FaultUnderLoad> {
  for (const perSecond of paces) {
    const count = perSecond * secondsEach
    if (!(await succeedsUndisturbed(to, perSecond, loads, 2 * perSecond))) continue
    const load = startLoad({ ...to, perSecond })
    loads.push(load)
    const since = performance.now()
    await answered(load, count)
    await end(part, how)
    await answered(load, count)
    await part.start()
    await answered(load, count)
    await load.stop()
    // A request without an idempotency key, cut off with its gateway: only its sender may decide to repeat it.
    const isOfNobody = ({ status, line }: Sent) =>
      how === 'killed' && status === cut && line === 'POST /api/storage/pools'
    const failed = load.sent
      .filter((one) => (one.status < 200 || one.status >= 300) && !isOfNobody(one))
      .map(
        ({ at, line, status, ms, body }) =>
          `${part.name} ${how}, ${((at - since) / 1000).toFixed(1)} s: ${line} ${status} after ${Math.round(ms)} ms ${JSON.stringify(body)}`,
      )
    const found = { name: part.name, perSecond, sent: load.sent, failed }
    if (failed.length === 0 || (await succeedsUndisturbed(to, perSecond, loads, load.sent.length))) return found
    process.stdout.write(`${part.name} ${how}: at ${perSecond}/s ${failed.length} failed, but so they do undisturbed\n`)
  }
  throw new Error('This machine is too busy for this test: of 5 requests a second some fail with nothing broken')
}
