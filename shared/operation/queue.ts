import { setTimeout as delay } from 'node:timers/promises'
import { AckPolicy, type Consumer, type JsMsg, nanos } from 'nats'
import type { ServiceBroker } from 'moleculer'
import { bus } from '#shared/bus/bus.ts'
import { ensureStreams, streams } from '#shared/bus/streams.ts'
import { inStore } from '#shared/db/connect.ts'
import { now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'
import { activeStates, type Entry, leaseMs, operationModel } from '#shared/operation/journal.ts'
import { servicesWithKinds } from '#shared/operation/kinds.ts'
import { sweepLocks } from '#shared/operation/locks.ts'
import { cancelHere, handOver, runningHere, runOperation } from '#shared/operation/run.ts'

const slotsPerService = 8
const keptDays = 30
const subject = (service: string) => `horcrux.work.${service}`

/** Puts an operation before the replicas of its service. When the bus is away, their sweep finds it in the store. */
export function enqueue({ id, service, epoch }: Pick<Entry, 'id' | 'service' | 'epoch'>): void {
  const sent = async () => bus().jetStream.publish(subject(service), id, { msgID: `${id}/${epoch}` })
  sent().catch((error: Error) =>
    log('operations').debug({ err: error, operation_id: id }, 'not queued; the sweep will find it'),
  )
}

/** What this process works on beside the queue: it takes what it has accepted itself, while it has room. */
const here = { services: new Set<string>(), broker: undefined as ServiceBroker | undefined, running: 0 }

/** Room that this process keeps for an operation that it accepts. */
export type Room = { run: (entry: Entry) => void; giveBack: () => void }

/** Room for an operation of this service, if this process does such work and has any. */
export function takeRoomHere(service: string): Room | undefined {
  const { broker } = here
  if (!broker || !here.services.has(service) || here.running >= slotsPerService) return undefined
  here.running++
  const giveBack = () => void here.running--
  const run = (entry: Entry) =>
    runOperation(entry.id, broker, entry)
      .then((hasEnded) => hasEnded || enqueue(entry))
      .catch((error: Error) => log('operations').warn({ err: error, operation_id: entry.id }, 'left to the sweep'))
      .finally(giveBack)
  return { run: (entry) => void run(entry), giveBack }
}

async function consumerOf(service: string): Promise<Consumer> {
  const durable = `work-${service}`
  const consumers = (await bus().manager()).consumers
  await consumers.add(streams.work, {
    durable_name: durable,
    filter_subject: subject(service),
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(leaseMs()),
  })
  return bus().jetStream.consumers.get(streams.work, durable)
}

/** The next message, or nothing when there is none for a while or the waiting is stopped. */
async function next(consumer: Consumer, stopped: AbortSignal): Promise<JsMsg | undefined> {
  const batch = await consumer.fetch({ max_messages: 1, expires: 10_000 })
  const end = () => batch.stop()
  stopped.addEventListener('abort', end)
  try {
    for await (const message of batch) return message
    return undefined
  } finally {
    stopped.removeEventListener('abort', end)
  }
}

/** Takes one operation after the other from the queue, until it is stopped. */
async function slot(service: string, broker: ServiceBroker, stopped: AbortSignal): Promise<void> {
  let consumer: Consumer | undefined
  while (!stopped.aborted) {
    try {
      consumer ??= await consumerOf(service)
      const message = await next(consumer, stopped)
      if (message) await workOn(message, broker, stopped)
    } catch (error) {
      if (stopped.aborted) return
      consumer = undefined
      log('operations').debug({ err: error as Error, service }, 'the queue does not answer')
      await delay(500)
      await ensureStreams().catch(() => undefined)
    }
  }
}

async function workOn(message: JsMsg, broker: ServiceBroker, stopped: AbortSignal): Promise<void> {
  if (stopped.aborted) return message.nak()
  const keepAlive = setInterval(() => message.working(), leaseMs() / 3)
  try {
    const ended = await runOperation(message.string(), broker)
    if (ended) message.ack()
    else message.nak()
  } finally {
    clearInterval(keepAlive)
  }
}

/** Operations that nobody works on: their process died, or their message never reached the queue. */
async function sweep(services: string[], broker: ServiceBroker): Promise<void> {
  await sweepLocks()
  const abandoned = await inStore(() =>
    operationModel
      .find(
        {
          state: { $in: activeStates },
          service: { $in: services },
          created_at: { $lt: new Date(Date.now() - 3000).toISOString() },
          $or: [{ lease: null }, { 'lease.until': { $lt: now() } }],
        } as never,
        { _id: 1 },
      )
      .limit(slotsPerService)
      .lean(),
  )
  await Promise.all(abandoned.map(({ _id }) => (runningHere(_id) ? undefined : runOperation(_id, broker))))
  const old = new Date(Date.now() - keptDays * 86_400_000).toISOString()
  await inStore(() => operationModel.deleteMany({ ended_at: { $lt: old } } as never))
}

/** Works on the operations of the services that this process has. @returns a function that hands over and stops */
export function startWorkers(broker: ServiceBroker): () => Promise<void> {
  const stop = new AbortController()
  const cancel = (id: string) =>
    cancelHere(id).catch((error: Error) => log('operations').debug({ err: error, operation_id: id }, 'not looked up'))
  const cancels = bus().nats.subscribe('horcrux.cancel', { callback: (_, message) => void cancel(message.string()) })
  const services = servicesWithKinds()
  Object.assign(here, { broker, services: new Set(services) })
  const slots = services.flatMap((service) =>
    Array.from({ length: slotsPerService }, () => slot(service, broker, stop.signal)),
  )
  const sweeping = (async () => {
    while (!stop.signal.aborted) {
      await sweep(services, broker).catch((error: Error) => log('operations').warn({ err: error }, 'the sweep failed'))
      await delay(2000 + Math.random() * 2000, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return async () => {
    stop.abort()
    here.broker = undefined
    cancels.unsubscribe()
    await handOver()
    await Promise.race([Promise.all([...slots, sweeping]), delay(2500)])
  }
}
