import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { compileRights } from '#shared/access/access.ts'
import { event } from '#shared/events/event.ts'
import { audienceOf } from '../services/gateway/events/audience.ts'
import { frameOf, webSocketFrame } from '../services/gateway/events/frame.ts'
import { eventLoad } from '../test/lab/load/event-load.ts'
import { startDeployment } from '../test/lab/product/deployment.ts'
import type { Row } from './figures.ts'

const clients = 200
const eventsPerBatch = 40
const seconds = 3

/**
 * The fan-out of the gateway's hub against JSON for each client and event, both into real sockets that are read: frames
 * made once, rights decided once for those who have the same, one write for each batch and client.
 */
export async function benchEvents(): Promise<Row[]> {
  const rights = compileRights([{ path: '/api/vms/**', privileges: ['VmAudit'] }])
  const user = { kind: 'user', user: 'ann', rights: 'r', address: '', credential: { by: 'token', id: '' } } as const
  const audience = audienceOf(user, rights)
  const timestamp = new Date().toISOString()
  const changed = { vm_id: 'vm-0001', old_status: 'running', new_status: 'stopped', timestamp } as const
  const batch = Array.from({ length: eventsPerBatch }, (_, seq) => ({ seq, event: event('VmStatusChanged', changed) }))

  const shared = (sockets: Socket[]) => {
    const bytes = Buffer.concat(
      batch
        .map((placed) => frameOf(placed))
        .filter(audience.mayReceive)
        .map((frame) => frame.bytes.ws),
    )
    for (const socket of sockets) socket.write(bytes)
  }
  const each = (sockets: Socket[]) => {
    for (const placed of batch)
      for (const socket of sockets) {
        const frame = frameOf(placed)
        if (audience.mayReceive(frame))
          socket.write(webSocketFrame(JSON.stringify({ seq: placed.seq, ...placed.event })))
      }
  }
  const perClient = await deliveriesPerSecond(each)
  const atOnce = await deliveriesPerSecond(shared)
  return [
    { what: 'JSON for each client and event', value: perClient, unit: 'deliveries/s' },
    { what: 'frames made once, in batches', value: atOnce, unit: 'deliveries/s' },
    { what: 'ratio', value: atOnce / perClient, unit: 'x', atLeast: 10 },
    ...(await latencies()),
  ]
}

/** From the making of an event to its readers, through NATS and a gateway of its own process. */
async function latencies(): Promise<Row[]> {
  const horcrux = await startDeployment()
  try {
    const { gateways, connect, token } = horcrux
    const asked = { clients: 1000, stalled: 50, perSecond: 20, seconds: 10 }
    const url = gateways[0]!.url
    const found = await eventLoad({ url, connect, token, ...asked })
    return [
      { what: '1,000 clients of which 50 stall: p50', value: found.p50Ms, unit: 'ms' },
      { what: '1,000 clients of which 50 stall: p99', value: found.p99Ms, unit: 'ms', below: 250 },
      { what: 'events that did not arrive (0)', value: found.missing, unit: 'events' },
      { what: 'stalled clients that were closed (50)', value: found.closingCodes.length, unit: 'clients' },
    ]
  } finally {
    await horcrux.stop()
  }
}

/** Deliveries per second of processor time; every socket is read to the end before the next batch. */
async function deliveriesPerSecond(send: (sockets: Socket[]) => void): Promise<number> {
  const server = createServer()
  const accepted: Socket[] = []
  server.on('connection', (socket) => accepted.push(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const readers = Array.from({ length: clients }, () => connect(port, '127.0.0.1').resume())
  while (accepted.length < clients) await new Promise((resolve) => setImmediate(resolve))
  let delivered = 0
  const begin = process.cpuUsage()
  const end = performance.now() + seconds * 1000
  while (performance.now() < end) {
    send(accepted)
    delivered += clients * eventsPerBatch
    while (accepted.some(({ writableLength }) => writableLength > 0))
      await new Promise((resolve) => setImmediate(resolve))
  }
  const { user, system } = process.cpuUsage(begin)
  for (const socket of [...readers, ...accepted]) socket.destroy()
  server.close()
  return delivered / ((user + system) / 1_000_000)
}
