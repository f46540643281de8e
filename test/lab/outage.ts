import { setTimeout as delay } from 'node:timers/promises'
import type { Deployment } from './deployment.ts'
import { type Reckoning, reckon } from './ledger.ts'
import { countsOf, type Sent, startLoad } from './load.ts'

const perSecond = 10
const before = 1500
/** By then everything works again after an outage. */
export const recoveredMs = 2000
const afterwards = 3000
const longestMs = 5000

/** What an outage under load led to. Every list but `answers` is to be empty. */
export type Found = Reckoning & {
  answers: Record<string, number>
  /** Neither success nor a 503 that says when to come back. */
  wrong: string[]
  /** Answers that took more than 5 s. */
  late: string[]
  /** What failed although everything has been back for 2 s. */
  unrecovered: string[]
}

const words = ({ line, status, ms, body, at }: Sent, since: number) =>
  `${((at - since) / 1000).toFixed(1)} s: ${line} ${status} after ${Math.round(ms)} ms ${String(body['message'] ?? '')}`

const isWrong = ({ status, headers }: Sent) =>
  !((status >= 200 && status < 300) || (status === 503 && headers['retry-after'] !== undefined))

/** Sends 10 requests a second, breaks something and mends it, and says what was found. Printed too. */
export async function disturbance(horcrux: Deployment, what: string, breakAndMend: () => Promise<void>): Promise<Found> {
  const { url } = horcrux.gateways[0]!
  const load = startLoad({ urls: [url], token: horcrux.token, perSecond, insistMs: 60_000 })
  await delay(before)
  const since = performance.now()
  await breakAndMend()
  const mended = performance.now()
  await delay(recoveredMs + afterwards)
  await load.stop()
  const { sent, wishes } = load
  const tell = (those: Sent[]) => those.map((one) => words(one, since))
  const found = {
    ...(await reckon(url, horcrux.token, wishes)),
    answers: countsOf(sent),
    wrong: tell(sent.filter(isWrong)),
    late: tell(sent.filter(({ ms }) => ms > longestMs)),
    unrecovered: tell(sent.filter(({ at, status }) => at > mended + recoveredMs && status >= 500)),
  }
  const first = sent.filter(({ at, status }) => at > mended && status < 300).toSorted((a, b) => a.at - b.at)[0]
  const longest = Math.max(...sent.map(({ ms }) => ms))
  process.stdout.write(
    `${what}: ${sent.length} requests ${JSON.stringify(found.answers)}, ${found.acknowledged} changes acknowledged, ` +
      `longest answer ${Math.round(longest)} ms, first success ${first ? Math.round(first.at + first.ms - mended) : '-'} ms after the end; ` +
      `lost ${found.lost.length}, doubled ${found.doubled.length}, not ended ${found.unended.length}, not recovered ${found.unrecovered.length}\n`,
  )
  return found
}
