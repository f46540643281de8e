import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { recordAudit } from '#shared/audit/audit.ts'
import { audit } from '#shared/contracts/core/audit.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { makeDataFolder } from '#shared/platform/data-folder.ts'
import { startEmbeddedStore } from '#shared/platform/embedded-store.ts'
import { auditService } from '../services/audit/service.ts'
import { startHorcrux } from '../test/lab/product/horcrux.ts'
import { median, type Row } from './figures.ts'

const inFlight = 256
const seconds = 10

/**
 * Records a second, kept up for ten seconds: as in `npm start`, one process of services beside the embedded store in its
 * own. A record counts when it is durable, and the time counts until the last one is in the chain as well.
 */
export async function benchAudit(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const host = localHost()
  await makeDataFolder(host, dir)
  const store = await startEmbeddedStore(host, dir, randomBytes(16).toString('hex'))
  const horcrux = await startHorcrux({ services: [auditService], config: { mongodbUrl: store.url } })
  try {
    const end = performance.now() + seconds * 1000
    const begin = performance.now()
    const waits: number[] = []
    let count = 0
    const one = async () => {
      while (performance.now() < end) {
        const since = performance.now()
        await recordAudit(given(count++))
        waits.push(performance.now() - since)
      }
    }
    await Promise.all(Array.from({ length: inFlight }, one))
    const durable = performance.now()
    const { total } = await horcrux.call(audit, 'list', { limit: 1 }, { timeoutMs: 120_000 })
    const chained = performance.now()
    if (total !== count) throw new Error(`${count} records were answered, ${total} are in the chain`)
    return [
      {
        what: 'audit records, durable and chained',
        value: count / ((chained - begin) / 1000),
        unit: '/s',
        atLeast: 5000,
      },
      { what: 'audit records, durable', value: count / ((durable - begin) / 1000), unit: '/s' },
      { what: `median wait for one of ${inFlight} in flight`, value: median(waits), unit: 'ms' },
      { what: 'until the last one was in the chain', value: (chained - durable) / 1000, unit: 's' },
    ]
  } finally {
    await horcrux.stop()
    await store.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

const given = (number: number) =>
  ({
    caller: { kind: 'service', name: 'vms', user: `user${number % 50}`, address: `192.0.2.${number % 250}` },
    kind: 'vm_started',
    path: `/api/vms/vm-${number % 1000}`,
    action: 'vms.start',
    result: 'success',
    request_id: `request-${number}`,
    before_hash: 'a'.repeat(64),
    after_hash: 'b'.repeat(64),
  }) as const
