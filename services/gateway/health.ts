import type { FastifyInstance } from 'fastify'
import mongoose from 'mongoose'
import type { ServiceBroker } from 'moleculer'
import { bus, isBusConnected } from '#shared/bus/bus.ts'
import type { Contract } from '#shared/contract/contract.ts'
import { UnavailableError } from '#shared/errors.ts'

const patienceMs = 1000

/** `/healthz`: this process answers. `/readyz`: so does everything that it needs; the 503 lists what does not. */
export function addHealth(app: FastifyInstance, broker: ServiceBroker, contracts: readonly Contract[]): void {
  const needed = contracts.map(({ name }) => name)
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async () => {
    const services = availableServices(broker)
    const [hasBus, hasStore] = await Promise.all([answers(busAnswers), answers(storeAnswers)])
    const missing = [
      ...(hasBus ? [] : ['bus']),
      ...(hasStore ? [] : ['store']),
      ...needed.filter((name) => !services.has(name)),
    ]
    if (missing.length > 0)
      throw new UnavailableError(`Not ready: no answer from ${missing.join(', ')}`, {
        details: { missing },
        retryAfterSeconds: 2,
      })
    return { status: 'ready' }
  })
}

/** The services that some process on the bus serves right now. */
function availableServices(broker: ServiceBroker): Set<string> {
  const list = broker.registry.getServiceList({ onlyAvailable: true, grouping: true }) as { name: string }[]
  return new Set(list.map(({ name }) => name))
}

const busAnswers = async () => isBusConnected() && (await bus().nats.rtt(), true)
/** The ping makes the driver look for a store that was away, without waiting for its heartbeat. */
const storeAnswers = async () => (await mongoose.connection.db!.command({ ping: 1 }), true)

async function answers(ask: () => Promise<boolean>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), patienceMs)
  ask().then(resolve, () => resolve(false))
  return promise.finally(() => clearTimeout(timer))
}
