import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answered } from '../clients/http.ts'
import { until } from '../wait.ts'
import { insist } from './insist.ts'
import type { Separate } from './separate.ts'

/** Promises to a client that were broken. */
export type Violation = string

/** One client: its own things, its model of them, the changes it has asked for. */
export type Client = {
  name: string
  asked: number
  violations: Violation[]
  stop: () => Promise<void>
  /** The state that every read must show, by the line of the read; null is 404. */
  model: Map<string, unknown>
}

type Work = (client: Asking, turn: number) => Promise<void>
type Change = { line: string; json?: unknown }

/** The ways in which a client asks. All of them go on for as long as the faults last. */
export type Asking = {
  random: () => number
  /** Asks until the outcome is known; waits for the end of an operation. @returns whether the change was made */
  do: (line: string, json?: unknown) => Promise<boolean>
  /** Asks once. @returns whether it was made, or undefined when the answer does not say */
  once: (line: string, json?: unknown) => Promise<boolean | undefined>
  /** The part of an answer that the model is of, or null for 404. */
  read: (line: string) => Promise<Answered['body'] | null>
  /** Notes the state that a read must show from now on; `pick` takes the part of the answer. */
  expect: (line: string, state: unknown, pick: (body: Answered['body']) => unknown) => Promise<void>
  violate: (what: string) => void
}

const patienceMs = 180_000

export function startClient(separate: Separate, name: string, random: () => number, work: Work): Client {
  const client: Omit<Client, 'stop'> = { name, asked: 0, violations: [], model: new Map() }
  let isOver = false
  const violate = (what: string) => {
    const told = `${new Date().toISOString()} ${name}: ${what}`
    client.violations.push(told)
    // A long run is looked at before its end.
    process.stdout.write(`  violation: ${told}\n`)
  }
  const read = (line: string) =>
    until(
      async () => {
        const { status, body, text } = await separate.ask(`GET ${line}`, {}, Math.floor(random() * 2))
        if (status === 200) return { body }
        if (status === 404) return { body: null }
        throw new Error(`${status} ${text}`)
      },
      { what: `GET ${line}`, timeoutMs: patienceMs, intervalMs: 200 },
    ).then(({ body }) => body)

  /** The end of an operation. @returns whether it succeeded; one that gave up because something was away has changed nothing */
  const ended = async (id: string, line: string): Promise<boolean> => {
    const operation = await until(
      async () => {
        const body = await read(`/api/operations/${id}`)
        return body && body['ended_at'] !== null && body
      },
      { what: `the end of ${line} (${id})`, timeoutMs: patienceMs },
    )
    const { state, error } = operation as { state: string; error: { error: string; message: string } | null }
    if (state === 'succeeded') return true
    if (state !== 'failed' || error?.error !== 'SERVICE_UNAVAILABLE')
      violate(`${line} (${id}) ended ${state}: ${JSON.stringify(error)}`)
    return false
  }
  const judge = async ({ line }: Change, answer: Answered): Promise<boolean> => {
    if (answer.status === 202) return ended(String(answer.body['id']), line)
    if (answer.status >= 200 && answer.status < 300) return true
    violate(`${line} was answered ${answer.status}: ${answer.text}`)
    return false
  }
  const asking: Asking = {
    random,
    read,
    violate,
    do: async (line, json) => {
      client.asked++
      const change = { line, json }
      const { last } = await insist(separate, change, randomUUID(), patienceMs)
      return judge(change, last)
    },
    once: async (line, json) => {
      client.asked++
      const headers = { 'idempotency-key': randomUUID() }
      const answer = await separate.ask(line, { json, headers }, Math.floor(random() * 2)).catch(() => undefined)
      if (!answer) return undefined
      const details = answer.body['details'] as { outcome?: string } | undefined
      if (answer.status === 503) return details?.outcome === 'not_begun' ? false : undefined
      if (answer.status === 409 && answer.body['retryable'] === true) return false
      return judge({ line, json }, answer)
    },
    expect: async (line, state, pick) => {
      client.model.set(line, state)
      const body = await read(line)
      const found = body && pick(body)
      if (JSON.stringify(found) !== JSON.stringify(state))
        violate(`GET ${line} has ${JSON.stringify(found)}, was promised ${JSON.stringify(state)}`)
    },
  }
  const run = async () => {
    for (let turn = 0; !isOver; turn++) {
      await work(asking, turn).catch((error: Error) => violate(`${error.message} ${String(error.cause ?? '')}`))
      await delay(20)
    }
  }
  const running = run()
  return Object.assign(client, {
    stop: () => {
      isOver = true
      return running
    },
  })
}
