import type { AddressInfo } from 'node:net'
import { config } from '#shared/config/config.ts'
import type { Contract } from '#shared/contract/contract.ts'
import { gateways } from '#shared/contracts/core/gateways.ts'
import { contracts as all } from '#shared/contracts/index.ts'
import { log } from '#shared/runtime/log.ts'
import { implement } from '#shared/service/implement.ts'
import type { Service } from '#shared/service/start.ts'
import { createApp } from './app.ts'
import { sweepIdempotency } from './idempotency/store.ts'
import { certificateEnd } from './tls/tls.ts'

/** A gateway in this process, and where it listens once it does: `http://127.0.0.1:8006`. */
export type Gateway = Service & { url: () => string }

const answers = implement(gateways, {
  certificate: async () => ({ ends_at: certificateEnd()?.toISOString() ?? null }),
})

/** REST, WebSocket and Server-Sent Events for these contracts, at HORCRUX_HOST and HORCRUX_PORT. */
export function createGateway(contracts: readonly Contract[]): Gateway {
  let url = ''
  return {
    name: 'gateway',
    serves: [answers],
    url: () => url,
    start: async (broker) => {
      const app = await createApp(broker, contracts)
      const { host, port, tls } = config()
      await app.listen({ host, port })
      // A server that listens on a port has an address of this kind.
      const { port: found } = app.server.address() as AddressInfo
      url = `${tls === 'off' ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${found}`
      log('gateway').info({ url }, 'listening')
      const stopSweep = sweepIdempotency()
      return async () => {
        stopSweep()
        await stopWithin(app, graceMs)
      }
    },
  }
}

const graceMs = 5000

/** Lets what is running end, and cuts off what takes longer. */
async function stopWithin(app: Awaited<ReturnType<typeof createApp>>, ms: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), ms)
  await app.close()
  clearTimeout(cut)
}

export const gatewayService = createGateway(all)
