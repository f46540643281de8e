import { setTimeout as delay } from 'node:timers/promises'
import type { Deployment } from '../product/deployment.ts'
import { ask } from '../clients/http.ts'
import { type Reckoning, reckon } from './reconcile.ts'
import { countsOf, type Sent, startLoad, type Wish } from './load.ts'
import { openSocket, type TestSocket } from '../clients/sockets.ts'
import { until } from '../wait.ts'

const perSecond = 10
const before = 1500
/** By then everything works again after an outage. */
const recoveredMs = 2000
const afterwards = 2500
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
  /** Operations whose end a subscriber was not told of, and those that it was told of twice. */
  unheard: string[]
  heardTwice: string[]
  /** What processes logged as a bug of ours. */
  bugs: string[]
  /** What the subscriber was told of lost events. */
  resyncs: string[]
}

/** What is found when nothing is wrong. */
export const nothingWrong = {
  lost: [],
  doubled: [],
  unended: [],
  failed: [],
  wrong: [],
  late: [],
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

/** Sends 10 requests a second, breaks something and mends it, and says what was found. Printed too. */
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
  await delay(before)
  // On a machine that is busy with other things everything takes longer by what it takes undisturbed.
  const usualMs = Math.max(0, ...load.sent.map(({ ms }) => ms))
  const since = performance.now()
  await breakAndMend()
  const mended = performance.now()
  await delay(recoveredMs + afterwards)
  await load.stop()
  const { sent, wishes } = load
  const tell = (those: Sent[]) => those.map((one) => words(one, since))
  const found = {
    ...(await reckon(url, token, wishes)),
    ...(await heard(socket, wishes)),
    bugs: bugsOf(horcrux),
    answers: countsOf(sent),
    wrong: tell(sent.filter(isWrong)),
    late: tell(sent.filter(({ ms }) => ms > longestMs + usualMs)),
    unrecovered: tell(sent.filter(({ at, status }) => at > mended + recoveredMs + usualMs && status >= 500)),
  }
  socket.socket.close()
  const firsts = sent.filter(({ at, status }) => at > mended && status < 300).map(({ at, ms }) => at + ms - mended)
  const { answers, acknowledged, lost, doubled, unended, unrecovered, unheard, resyncs } = found
  process.stdout.write(
    `${what}: ${sent.length} requests ${JSON.stringify(answers)}, ${acknowledged} changes acknowledged, usual answer up to ${Math.round(usualMs)} ms, ` +
      `longest answer ${Math.round(Math.max(...sent.map(({ ms }) => ms)))} ms, first success ${Math.round(Math.min(...firsts))} ms after the end; ` +
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

/** What a subscriber has heard of the operations that were accepted; before a Resync it need not have heard anything. */
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
