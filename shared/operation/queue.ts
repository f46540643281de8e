import { setTimeout as delay } from 'node:timers/promises'
import { AckPolicy, type Consumer, type JsMsg, nanos } from 'nats'
import type { ServiceBroker } from 'moleculer'
import { bus, isBusConnected, listen, onBusChange } from '#shared/bus/bus.ts'
import { cancelSubject } from '#shared/bus/identity/subjects.ts'
import { ensureStreams, streams } from '#shared/bus/streams.ts'
import { log } from '#shared/runtime/log.ts'
import { type Entry, removeEndedBefore } from '#shared/operation/entries.ts'
import { servicesWithKinds } from '#shared/operation/kinds.ts'
import { sweepLocks } from '#shared/operation/locks.ts'
import { abandoned, leaseMs } from '#shared/operation/lease.ts'
import type { StepObserver } from '#shared/operation/observe.ts'
import { cancelHere, handOver, isRunningHere, runOperation } from '#shared/operation/run.ts'

const slotsPerService = 8
const keptDays = 30
const subject = (service: string) => `horcrux.work.${service}`

/** Queues an operation for the replicas of its service. When the bus is away, their sweep finds it in the store. */
export function enqueue({ id, service, epoch }: Pick<Entry, 'id' | 'service' | 'epoch'>): void {
  const sent = async () => bus().jetStream.publish(subject(service), id, { msgID: `${id}/${epoch}` })
  sent().catch((error: Error) =>
    log('operations').debug({ err: error, operation_id: id }, 'not queued; the sweep will find it'),
  )
}

/** The workers of this process. Beside the queue it runs operations that it has accepted itself, while it has free slots. */
const here = {
  services: new Set<string>(),
  broker: undefined as ServiceBroker | undefined,
  observe: undefined as StepObserver | undefined,
  running: 0,
}

/** A slot that this process keeps for an operation that it is about to accept. */
export type Slot = { run: (entry: Entry) => void; giveBack: () => void }

/** Takes a slot for an operation of this service, if this process works on them and has one free. */
export function takeSlotHere(service: string): Slot | undefined {
  const { broker } = here
  if (!broker || !here.services.has(service) || here.running >= slotsPerService) return undefined
  here.running++
  const giveBack = () => void here.running--
  const run = (entry: Entry) =>
    runOperation(entry.id, broker, { taken: entry, observe: here.observe })
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

/** A pull without a message is renewed this often. Milliseconds. */
const pullMs = 30_000

/** Pulls messages, at most so many, until none comes for a while, the bus is lost, or on stop. */
async function* pull(consumer: Consumer, count: number, stopped: AbortSignal): AsyncGenerator<JsMsg> {
  const batch = await consumer.fetch({ max_messages: count, expires: pullMs })
  const end = () => batch.stop()
  stopped.addEventListener('abort', end)
  const stopWatching = onBusChange(end)
  try {
    yield* batch
  } finally {
    stopped.removeEventListener('abort', end)
    stopWatching()
  }
}

/** Runs the operations in the queue of a service, up to {@link slotsPerService} at once, until it is stopped. */
async function workOnQueue(service: string, broker: ServiceBroker, stopped: AbortSignal): Promise<void> {
  const working = new Set<Promise<void>>()
  let consumer: Consumer | undefined
  while (!stopped.aborted) {
    try {
      if (working.size >= slotsPerService) await Promise.race(working)
      consumer ??= await consumerOf(service)
      for await (const message of pull(consumer, slotsPerService - working.size, stopped)) {
        const work = workOn(message, broker, stopped).finally(() => working.delete(work))
        working.add(work)
      }
      if (!isBusConnected()) await delay(100)
    } catch (error) {
      if (stopped.aborted) break
      consumer = undefined
      log('operations').debug({ err: error as Error, service }, 'the queue does not answer')
      await delay(500)
      await ensureStreams().catch(() => undefined)
    }
  }
  await Promise.all(working)
}

/** Runs the operation of a message. A message that is not acknowledged comes again after the time of a lease. */
async function workOn(message: JsMsg, broker: ServiceBroker, stopped: AbortSignal): Promise<void> {
  if (stopped.aborted) return message.nak()
  const keepAlive = setInterval(() => message.working(), leaseMs() / 3)
  try {
    const ended = await runOperation(message.string(), broker, { observe: here.observe })
    if (ended) message.ack()
    else message.nak()
  } catch (error) {
    log('operations').debug({ err: error as Error }, 'an operation of the queue could not be taken')
  } finally {
    clearInterval(keepAlive)
  }
}

/**
 * Takes over operations without a live lease: their process died, or their message never reached the queue. Their end is
 * not waited for: a parent that was taken over waits for its child, which a later turn takes over.
 * @param running gets the operations that are run, until they end
 */
async function takeOver(services: string[], broker: ServiceBroker, running: Set<Promise<void>>): Promise<void> {
  const ids = await abandoned(services, timeAgo(3000), slotsPerService)
  for (const id of ids.filter((each) => !isRunningHere(each))) {
    const run = runOperation(id, broker, { observe: here.observe })
      .catch((error: Error) => log('operations').warn({ err: error, operation_id: id }, 'left to the next sweep'))
      .then(() => void running.delete(run))
    running.add(run)
  }
}

/** The period of the take-over: with the lease's 15 s it stays below the promised 30 s. Milliseconds. */
const takeOverEveryMs = () => Math.min(6000, 2 * leaseMs()) * (0.75 + Math.random() / 2)
const cleanUpEveryMs = 60_000

/** Removes locks that a crash left, and operations that ended long ago. */
async function cleanUp(): Promise<void> {
  await sweepLocks()
  await removeEndedBefore(timeAgo(keptDays * 86_400_000))
}

const timeAgo = (ms: number) => new Date(Date.now() - ms).toISOString()

/**
 * Works on the operations of the services that this process has.
 * @param how.observe called at each place of each step
 * @returns a function that hands over and stops
 */
export function startWorkers(broker: ServiceBroker, { observe }: { observe?: StepObserver | undefined } = {}) {
  const stop = new AbortController()
  const cancel = (id: string) =>
    cancelHere(id).catch((error: Error) => log('operations').debug({ err: error, operation_id: id }, 'not looked up'))
  const stopListening = listen(cancelSubject, (message) => void cancel(message.string()))
  const services = servicesWithKinds()
  Object.assign(here, { broker, observe, services: new Set(services) })
  const queues = services.map((service) => workOnQueue(service, broker, stop.signal))
  const takenOver = new Set<Promise<void>>()
  const sweeping = (async () => {
    for (let cleanedAt = -Infinity; !stop.signal.aborted;) {
      try {
        await takeOver(services, broker, takenOver)
        if (performance.now() - cleanedAt > cleanUpEveryMs) {
          cleanedAt = performance.now()
          await cleanUp()
        }
      } catch (error) {
        log('operations').warn({ err: error as Error }, 'the sweep failed')
      }
      await delay(takeOverEveryMs(), undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return async (): Promise<void> => {
    stop.abort()
    here.broker = undefined
    stopListening()
    await handOver()
    await Promise.race([Promise.all([...queues, sweeping, ...takenOver]), delay(2500)])
  }
}
