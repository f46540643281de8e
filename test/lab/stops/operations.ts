import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Part } from '../product/child-process.ts'
import { until } from '../wait.ts'
import { actionOf, insist, requestOf } from './insist.ts'
import type { Separate } from './separate.ts'
import { runnerOf, type StopCase, stopMs } from './cases.ts'
import { itself, type Stop } from './stopping-service.ts'

/** The replicas of a service, or the gateways. */
export const partsOf = ({ deployment: { services, gateways } }: Separate, name: string): Part[] =>
  [...services, ...gateways].filter((part) => part.name.startsWith(`${name}-`))

/** Lines in which the processes say that they were stopped. */
const noticesOf = (parts: Part[]) =>
  parts.map(({ said }) => said().filter((line) => line.includes('did not run for a while')).length)

/**
 * Wakes processes and waits until each has noticed its stop. The rest of the time is for what lay in their sockets: nothing
 * tells when they have come through it.
 */
export async function wake(parts: Part[], settleMs = 1000): Promise<void> {
  const before = noticesOf(parts)
  for (const part of parts) part.signal('SIGCONT')
  const haveNoticed = () => noticesOf(parts).every((count, index) => count > before[index]!)
  await until(haveNoticed, { what: 'the stopped processes to notice it', timeoutMs: 20_000 })
  await delay(settleMs)
}

/** The way to begin an operation: over a gateway, or over the bus alone. */
export type Beginning = Pick<Separate, 'call'> & Partial<Pick<Separate, 'ask' | 'deployment'>>

/** Begins an operation as a client does, or as a service does if it has no route or if there is no gateway. */
export async function beginAs(
  { call, ask, deployment }: Beginning,
  kind: string,
  params: Record<string, unknown>,
): Promise<Operation> {
  const key = randomUUID()
  const { contract, key: action, action: entry } = actionOf(kind)
  if (entry.rest && ask && deployment) {
    const { last } = await insist({ ask, deployment }, requestOf(kind, params), key)
    if (last.status !== 202) throw new Error(`${kind} was answered ${last.status}: ${last.text}`)
    return last.body as Operation
  }
  for (let tries = 0; ; tries++) {
    try {
      // The actions are gone through by name.
      return (await call(contract, action as never, params, { meta: { operationId: key } })) as Operation
    } catch (error) {
      if (!(error instanceof UnavailableError) || tries === 20) throw error
      await delay(200)
    }
  }
}

export const endOf = ({ call }: Pick<Separate, 'call'>, { id }: Operation): Promise<Operation> =>
  call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })

let count = 0

/**
 * Runs an operation and stops processes at its place, then wakes them.
 * @returns the operation when all is over; `hasStopped` is false if it never came to the place
 */
export async function runWithStop(
  separate: Separate,
  { kind, step, when, victim, who, length }: StopCase,
  params: Record<string, unknown>,
): Promise<{ ended: Operation; hasStopped: boolean }> {
  const runners = partsOf(separate, runnerOf(kind.split('.')[0]!))
  const victims = partsOf(separate, victim).slice(0, who === 'one' ? 1 : undefined)
  const once = join(separate.deployment.dir, `stopped-${process.pid}-${count++}`)
  const pids = who === 'itself' ? [itself] : victims.map((part) => part.pid())
  for (const runner of runners) {
    runner.tell(JSON.stringify({ kind, step, when, pids, once } satisfies Stop))
    await until(() => runner.said().includes(`armed ${once}`), { what: `${runner.name} to be armed` })
  }
  const begun = beginAs(separate, kind, params)
  begun.catch(() => undefined)
  const begins = begun.then((operation) => endOf(separate, operation))
  const isOver = begins.then(
    () => true,
    () => true,
  )
  await Promise.race([isOver, until(() => existsSync(once), { what: `the place '${step}'`, intervalMs: 5 })])
  const hasStopped = existsSync(once)
  if (hasStopped) {
    await delay(stopMs[length])
    const stopped = who === 'itself' ? await stoppedOf(victims) : victims
    await wake(stopped)
  }
  return { ended: await endOf(separate, await begun), hasStopped }
}

/** The processes that are stopped, as the kernel says. */
async function stoppedOf(parts: Part[]): Promise<Part[]> {
  const states = await Promise.all(
    parts.map(async (part) => {
      const stat = await readFile(`/proc/${part.pid()}/stat`, 'utf8')
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')
    }),
  )
  return parts.filter((_, index) => states[index])
}
