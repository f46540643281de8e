import type { Deployment } from '../product/deployment.ts'
import { ask } from '../clients/http.ts'
import { type Reconciliation, reconcile } from './reconcile.ts'
import { countsOf, type Sent, startLoad, type Wish } from './load.ts'
import { openSocket, type TestSocket } from '../clients/sockets.ts'
import { until } from '../wait.ts'

const perSecond = 10
/** Requests answered before the outage begins. */
const before = 15
/** Number of successes in a row after which everything works again: each kind of request is among them. */
const wholeRound = 10
/** Requests answered after that. */
const afterwards = 25

/** The faults that an outage under load led to: every list has to be empty. */
export type Found = Reconciliation & {
  answers: Record<string, number>
  /** Neither success nor a 503 that says when to come back. */
  wrong: string[]
  /** Failures after a whole round of requests had succeeded again. */
  unrecovered: string[]
  /** Operations whose end a subscriber was not told of, and those that it was told of twice. */
  unheard: string[]
  heardTwice: string[]
  /** Lines that a process logged as a bug of ours. */
  bugs: string[]
  /** Messages to the subscriber about lost events. */
  resyncs: string[]
  /** For the benchmark: the longest answers before the outage and in all, and the first success after its end. */
  times: { usualMs: number; longestMs: number; firstSuccessMs: number }
}

/** The result without faults. */
export const nothingWrong = {
  lost: [],
  doubled: [],
  unended: [],
  failed: [],
  wrong: [],
  unrecovered: [],
  unheard: [],
  heardTwice: [],
  bugs: [],
}

/** A deployment with a pool in which volumes are made. */
export async function withPool(horcrux: Deployment): Promise<Deployment> {
  const { gateways, token, stop } = horcrux
  const { status, text } = await ask(gateways[0]!.url, 'POST /api/storage/pools', {
    token,
    json: { id: 'main', type: 'dir' },
  })
  if (status === 201) return horcrux
  await stop()
  throw new Error(`No pool: ${status} ${text}`)
}

const words = ({ line, status, ms, body, at }: Sent, since: number) =>
  `${((at - since) / 1000).toFixed(1)} s: ${line} ${status} after ${Math.round(ms)} ms ${String(body['message'] ?? '')}`

const isWrong = ({ status, headers }: Sent) =>
  !((status >= 200 && status < 300) || (status === 503 && headers['retry-after'] !== undefined))

/** Sends 10 requests a second, breaks something and mends it; returns and prints the faults that this led to. */
export async function disturbance(
  horcrux: Deployment,
  what: string,
  breakAndMend: () => Promise<void>,
): Promise<Found> {
  const { url } = horcrux.gateways[0]!
  const { token } = horcrux
  const socket = await openSocket(url, {
    headers: { authorization: `Bearer ${token}` },
    first: { topics: ['operations'] },
  })
  await socket.next('Subscribed')
  const load = startLoad({ urls: [url], token, perSecond, insistMs: 60_000 })
  const { sent, wishes } = load
  await until(() => sent.length >= before, { what: 'answers before the outage' })
  const usualMs = Math.max(...sent.map(({ ms }) => ms))
  const since = performance.now()
  await breakAndMend()
  const mended = performance.now()
  const answeredAtMend = sent.length
  const isWhole = () => {
    const last = sent.slice(answeredAtMend).slice(-wholeRound)
    return last.length === wholeRound && last.every(({ at, status }) => at > mended && status >= 200 && status < 300)
  }
  await until(isWhole, { what: 'a whole round of successes after the outage' })
  const recovered = performance.now()
  const answeredAtRecovery = sent.length
  await until(() => sent.length >= answeredAtRecovery + afterwards, { what: 'answers after the outage' })
  await load.stop()
  const longestMs = Math.max(...sent.map(({ ms }) => ms))
  const firstSuccessMs = Math.min(
    ...sent.filter(({ at, status }) => at > mended && status < 300).map(({ at, ms }) => at + ms - mended),
  )
  const tell = (those: Sent[]) => those.map((one) => words(one, since))
  const found = {
    ...(await reconcile(url, token, wishes)),
    ...(await heard(socket, wishes)),
    bugs: bugsOf(horcrux),
    answers: countsOf(sent),
    wrong: tell(sent.filter(isWrong)),
    unrecovered: tell(sent.filter(({ at, status }) => at > recovered && status >= 500)),
    times: { usualMs, longestMs, firstSuccessMs },
  }
  socket.socket.close()
  const { answers, acknowledged, lost, doubled, unended, unrecovered, unheard, resyncs } = found
  process.stdout.write(
    `${what}: ${sent.length} requests ${JSON.stringify(answers)}, ${acknowledged} changes acknowledged, usual answer up to ${Math.round(usualMs)} ms, ` +
      `longest answer ${Math.round(longestMs)} ms, first success ${Math.round(firstSuccessMs)} ms after the end; ` +
      `lost ${lost.length}, doubled ${doubled.length}, not ended ${unended.length}, failed later ${unrecovered.length}, ` +
      `events unheard ${unheard.length}, resyncs ${resyncs.length}\n`,
  )
  return found
}

/** The lines of an unexpected error, each once. */
export function bugsOf({ services, gateways }: Deployment): string[] {
  const lines = [...services, ...gateways].flatMap(({ name, said }) => said().map((line) => ({ name, line })))
  const bugs = lines
    .filter(({ line }) => line.includes('"a bug:'))
    .map(({ name, line }) => {
      const { err, action } = JSON.parse(line) as { err?: { stack?: string }; action?: string }
      return `${name} ${action ?? ''}: ${err?.stack ?? line}`
    })
  return [...new Set(bugs)]
}

/** Events that the subscriber got of the accepted operations; before a Resync none is required. */
async function heard(socket: TestSocket, wishes: Wish[]): Promise<Pick<Found, 'unheard' | 'heardTwice' | 'resyncs'>> {
  const ids = wishes.flatMap(({ operation }) => operation ?? [])
  const ends = (id: string) =>
    socket.events().filter(({ data }) => data['id'] === id && data['ended_at'] !== null).length
  const isResync = ({ type }: { type: string }) => type === 'Resync'
  const hasAll = () => ids.every((id) => ends(id) > 0) || socket.received.some(isResync)
  await until(hasAll, { what: 'all events' }).catch(() => undefined)
  const resyncs = socket.received.filter(isResync).map(({ seq, data }) => `${seq} ${String(data['reason'])}`)
  return {
    resyncs,
    unheard: resyncs.length > 0 ? [] : ids.filter((id) => ends(id) === 0),
    heardTwice: ids.filter((id) => ends(id) > 1),
  }
}
