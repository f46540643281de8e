import { setTimeout as delay } from 'node:timers/promises'
import type { Part } from '../product/child-process.ts'
import type { Separate } from './separate.ts'

export type FaultCounts = Record<string, number>

const kindOf = ({ name }: Part) => name.replace(/-\d+$/, '')

/** Limit of processes that are away at the same time: with more, no request of the clients succeeds meanwhile. */
const mostAway = 4

/**
 * Kills or stops a process at random every few seconds: replicas, gateways, the bus, the store. Several may be away at the
 * same time. A process that is killed is started again, as a supervisor does.
 * @param count how many faults
 * @returns how many there were of each kind
 */
export async function randomFaults(
  { deployment }: Pick<Separate, 'deployment'>,
  count: number,
  random: () => number,
): Promise<FaultCounts> {
  const { services, gateways, nats, store } = deployment
  const counts: FaultCounts = {}
  const away = new Map<Part, Promise<void>>()
  const parts = [...services, ...services, ...gateways, nats, store]
  for (let number = 0; number < count; number++) {
    await delay(500 + random() * 2500)
    while (away.size >= mostAway) await Promise.race(away.values())
    const here = parts.filter((part) => !away.has(part))
    const part = here[Math.floor(random() * here.length)]!
    const isStop = random() < 0.5
    const stopMs = 5000 + random() * 20_000
    const kind = `${kindOf(part)} ${isStop ? 'stopped' : 'killed'}`
    counts[kind] = (counts[kind] ?? 0) + 1
    const fault = (isStop ? stopped(part, stopMs) : killed(part)).finally(() => away.delete(part))
    away.set(part, fault)
    fault.catch(() => undefined)
    if (number % 100 === 99) process.stdout.write(`  ${number + 1} faults\n`)
  }
  await Promise.all(away.values())
  return counts
}

async function stopped(part: Part, ms: number): Promise<void> {
  part.signal('SIGSTOP')
  await delay(ms)
  part.signal('SIGCONT')
}

/** It may not start at once, because another part is away. */
async function killed(part: Part): Promise<void> {
  await part.kill()
  for (let tries = 0; ; tries++) {
    try {
      return await part.start()
    } catch (error) {
      if (tries === 10) throw error
    }
  }
}
