import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { exitCodes } from '../errors.ts'
import { follow } from '../http/events.ts'
import type { Target } from '../http/target.ts'
import type { Action } from '../manifest/types.ts'
import { nameOf, type Output, rendered, write } from '../output/print.ts'
import type { Values } from './build-request.ts'
import { itemsOf, send } from './send.ts'

/** Events that come together cause one read. */
const gatherMs = 150
/** Changes that have no event are noticed by reading again. */
const readAgainMs = 5000

/**
 * Shows a list or record again at each change, until Ctrl-C. On a terminal the screen is drawn anew; in a pipe, and with
 * `-o ndjson`, each change is a line `{change, item}`.
 */
export async function watch(target: Target, action: Action, values: Values, output: Output): Promise<number> {
  const ending = new AbortController()
  const stop = () => ending.abort()
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  const isScreen = process.stdout.isTTY === true && ['table', 'wide'].includes(output.format)
  let known: Map<string, unknown> | undefined
  try {
    for await (const _ of moments(target, ending.signal)) {
      const items = await read(target, action, values)
      const next = new Map(items.map((item) => [nameOf(item, output.key), item]))
      if (known && sameItems(known, next)) continue
      if (isScreen) await draw(action.result === 'page' ? items : items[0], output)
      else await tellChanges(known ?? new Map<string, unknown>(), next, known ? undefined : 'present')
      known = next
    }
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
  return exitCodes.done
}

async function read(target: Target, action: Action, values: Values): Promise<unknown[]> {
  if (action.result !== 'page') return [(await send(target, action, values)).body]
  const all: unknown[] = []
  for await (const { items } of itemsOf(target, action, values)) all.push(...items)
  return all
}

/** At once, after each group of events, and every few seconds. */
async function* moments(target: Target, signal: AbortSignal): AsyncGenerator<void> {
  let wake: (() => void) | undefined
  let failure: unknown
  const listening = (async () => {
    for await (const { type } of follow(target, { signal })) if (type !== 'Ping') wake?.()
  })().catch((error: unknown) => {
    failure = error
    wake?.()
  })
  while (!signal.aborted) {
    const { promise, resolve } = Promise.withResolvers<void>()
    wake = resolve
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (failure !== undefined) throw failure
    yield
    const timer = setTimeout(resolve, readAgainMs)
    await promise
    clearTimeout(timer)
    await sleep(gatherMs, undefined, { signal }).catch(() => undefined)
  }
  await listening
}

const sameItems = (one: Map<string, unknown>, other: Map<string, unknown>) =>
  isDeepStrictEqual([...one.values()], [...other.values()])

async function draw(body: unknown, output: Output): Promise<void> {
  const text = await rendered(body, output)
  const rows = process.stdout.rows || 24
  const lines = text.trimEnd().split('\n')
  const fitting = lines.length < rows ? lines : [...lines.slice(0, rows - 2), `… ${lines.length - rows + 2} more`]
  await write(`\u001b[H\u001b[2J${fitting.join('\n')}\n`)
}

/** One line of JSON for each difference. */
async function tellChanges(
  before: Map<string, unknown>,
  after: Map<string, unknown>,
  first?: 'present',
): Promise<void> {
  const lines: object[] = []
  for (const [name, item] of after) {
    if (!before.has(name)) lines.push({ change: first ?? 'created', item })
    else if (!isDeepStrictEqual(before.get(name), item)) lines.push({ change: 'updated', item })
  }
  for (const [name, item] of before) if (!after.has(name)) lines.push({ change: 'deleted', item })
  for (const line of lines) await write(`${JSON.stringify(line)}\n`)
}
