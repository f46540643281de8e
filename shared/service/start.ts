import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceBroker, ServiceSchema } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { answerAlive } from '#shared/bus/liveness.ts'
import { createBroker } from '#shared/bus/broker.ts'
import { connectBus, disconnectBus } from '#shared/bus/bus.ts'
import { openStreams } from '#shared/bus/streams.ts'
import { useTryRecord } from '#shared/bus/tries.ts'
import { ConfigError } from '#shared/config/config.ts'
import { within } from '#shared/runtime/request-context.ts'
import { connectStore, disconnectStore } from '#shared/db/connect.ts'
import { createIndexes } from '#shared/db/model.ts'
import { sweepOutboxes } from '#shared/db/outbox.ts'
import { sweepRemovalMarks } from '#shared/db/removal-marks.ts'
import { storedTries, sweepTries } from '#shared/db/tries.ts'
import { closeNodes } from '#shared/nodes/nodes.ts'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { compactWhenIdle } from '#shared/runtime/compact-heap.ts'
import { log } from '#shared/runtime/log.ts'
import { watchForStops } from '#shared/runtime/stops.ts'
import type { StepObserver } from '#shared/operation/observe.ts'
import { startWorkers } from '#shared/operation/queue.ts'
import { serveMetrics } from '#shared/service/metrics-page.ts'
import { operationService } from '#shared/service/operations.ts'

/** One part of Horcrux: the actions that it serves on the bus, and its other work. */
export type Service = {
  name: string
  serves: ServiceSchema[]
  /** Runs before the service can be called: with bus and store, without other services. */
  prepare?: () => Promise<void>
  /** Runs as this service once it can be called; returns a function that is called when the process stops. */
  start?: (broker: ServiceBroker) => Promise<() => unknown>
}

/** Services that run in this process. */
export type Running = {
  broker: ServiceBroker
  /** Begins to work on operations. @returns a function that hands over and ends it */
  work: () => () => Promise<void>
  /** Hands over its operations and closes everything. */
  stop: () => Promise<void>
}

/**
 * Runs services in this process until they are stopped.
 * @param how.works false: only answers, until `work()` is called; true: works on operations from the start
 * @param how.observe called at each place of each step of an operation
 */
export async function startServices(
  name: string,
  services: Service[],
  { works = true, observe }: { works?: boolean; observe?: StepObserver | undefined } = {},
): Promise<Running> {
  await Promise.all([connectStore(), connectBus(name).then(() => onceAnswered(openStreams))])
  useTryRecord(storedTries)
  await onceAnswered(createIndexes)
  const broker = createBroker(name)
  answerAlive(broker)
  for (const schema of services.flatMap(({ serves }) => serves)) broker.createService(schema)
  broker.createService(operationService)
  const asItself = <T>(service: string, work: () => T): T =>
    within({ broker, service, caller: asService(service), requestId: `${service}-start` }, work)
  for (const { name: service, prepare } of services) if (prepare) await onceAnswered(() => asItself(service, prepare))
  await broker.start()
  const stops: (() => unknown)[] = [
    serveMetrics(),
    watchForStops(),
    sweepOutboxes(broker),
    sweepTries(),
    sweepRemovalMarks(),
  ]
  const work = () => startWorkers(broker, { observe })
  if (works) stops.push(work())
  for (const { name: service, start } of services) if (start) stops.push(await asItself(service, () => start(broker)))
  log('start').info({ services: services.map((service) => service.name) }, `${name} is up`)
  const stop = async () => {
    for (const undo of stops.toReversed()) await undo()
    await broker.stop()
    await closeNodes()
    await disconnectBus()
    await disconnectStore()
  }
  return { broker, work, stop }
}

/** Store and bus may be away for this long while a process starts. Milliseconds. */
const startPatienceMs = 20_000

/** Repeats a part of the start while store or bus do not answer. @throws UnavailableError when they are away for longer */
async function onceAnswered<T>(work: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + startPatienceMs; ; await delay(500)) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof UnavailableError) || Date.now() > deadline) throw error
      log('start').warn({ reason: error.message }, 'the start waits for an answer')
    }
  }
}

/** Runs a service as a process of its own, and stops it on SIGTERM and SIGINT: the whole of its `main.ts`. */
export async function runProcess(service: Service): Promise<void> {
  try {
    const { stop } = await startServices(service.name, [service])
    compactWhenIdle()
    let stopping = false
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.on(signal, () => {
        if (stopping) return
        stopping = true
        void stop().then(() => process.exit(0))
      })
  } catch (error) {
    exitWith(error)
  }
}

/** Ends a process that cannot start: with exit code 78 for a wrong configuration, else 1. */
export function exitWith(error: unknown): never {
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`)
    process.exit(78)
  }
  if (error instanceof AppError) {
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
}
