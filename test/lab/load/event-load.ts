import { setTimeout as delay } from 'node:timers/promises'
import type { NatsConnection } from 'nats'
import { WebSocket } from 'ws'
import { event } from '#shared/events/event.ts'
import { until } from '../wait.ts'

type Wanted = {
  url: string
  connect: () => Promise<NatsConnection>
  token: string
  clients: number
  /** The number of them that do not read. */
  stalled: number
  perSecond: number
  seconds: number
}

/** Delays of events from the publisher to the clients, and the closing codes of clients that did not read. */
export type EventLoadFound = {
  delivered: number
  missing: number
  p50Ms: number
  p99Ms: number
  longestMs: number
  closingCodes: number[]
}

const timestamp = new Date().toISOString()
/** Only the stalled clients subscribe to operations: the kernel buffers megabytes before anything waits. */
const burdenBytes = 60_000
const burden = 'x'.repeat(burdenBytes)

/** Sends events to many clients, some of which do not read, and measures the delays of the others. */
export async function eventLoad({
  url,
  connect,
  token,
  clients,
  stalled,
  perSecond,
  seconds,
}: Wanted): Promise<EventLoadFound> {
  const nats = await connect()
  const latencies: number[] = []
  const sockets: WebSocket[] = []
  const closingCodes: number[] = []
  const join = async (topics: string[]) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/ws`, {
      headers: { authorization: `Bearer ${token}` },
    })
    sockets.push(socket)
    socket.on('error', () => undefined)
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    socket.send(JSON.stringify({ topics }))
    await new Promise((resolve) => socket.once('message', resolve))
    return socket
  }
  try {
    const quick = await inTens(clients - stalled, () => join(['vm:events']))
    const slow = await inTens(stalled, () => join(['vm:events', 'operations']))
    for (const socket of quick)
      socket.on('message', (data: Buffer) => {
        const made = /"sent-(\d+\.\d+)"/.exec(data.toString('latin1'))?.[1]
        if (made !== undefined) latencies.push(performance.now() - Number(made))
      })
    for (const socket of slow) {
      socket.pause()
      socket.on('close', (code) => closingCodes.push(code))
    }
    const sent = await publishAll(nats, perSecond, seconds)
    const wanted = sent * quick.length
    await until(() => latencies.length >= wanted, { timeoutMs: 10_000, what: 'all events' }).catch(() => undefined)
    for (const socket of slow) socket.resume()
    await until(() => closingCodes.length === slow.length, { timeoutMs: 10_000, what: 'all closed' }).catch(
      () => undefined,
    )
    latencies.sort((one, other) => one - other)
    const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? NaN
    const delivered = latencies.length
    return { delivered, missing: wanted - delivered, p50Ms: at(0.5), p99Ms: at(0.99), longestMs: at(1), closingCodes }
  } finally {
    for (const socket of sockets) socket.terminate()
    await nats.close()
  }
}

async function inTens<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = []
  while (made.length < count)
    made.push(...(await Promise.all(Array.from({ length: Math.min(10, count - made.length) }, make))))
  return made
}

/** Publishes small events for all clients at an even pace, and large ones that fill the buffers of the stalled. @returns the number of small ones */
async function publishAll(nats: NatsConnection, perSecond: number, seconds: number): Promise<number> {
  const begin = performance.now()
  const total = perSecond * seconds
  for (let number = 0; number < total; number++) {
    await delay(Math.max(0, begin + (number * 1000) / perSecond - performance.now()))
    const heavy = { ...event('VmCreated', { vm_id: 'heavy', name: burden, timestamp }), topic: 'operations' }
    nats.publish('horcrux.events.operations', JSON.stringify(heavy))
    const light = event('VmCreated', { vm_id: `sent-${performance.now().toFixed(3)}`, name: 'light', timestamp })
    nats.publish('horcrux.events.vm.events', JSON.stringify(light))
  }
  await nats.flush()
  return total
}
