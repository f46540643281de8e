import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Caller } from '#shared/access/access.ts'
import { recordAudit } from '#shared/audit/audit.ts'
import { audit, type AuditRecord, type Checkpoint, type ExportHead } from '#shared/contracts/core/audit.ts'
import { checkpoints, chain } from '../../../services/audit/models.ts'
import { applyRetention } from '../../../services/audit/retention/retention.ts'
import { auditService } from '../../../services/audit/service.ts'
import { verifyLines } from '../../../services/audit/verify/verify-file.ts'
import { type Replica, startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'

let horcrux: TestHorcrux
let replicas: Replica[]
const bob: Caller = { kind: 'service', name: 'vms', user: 'bob', address: '192.0.2.2' }

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [auditService] })
  replicas = [await horcrux.startReplica('audit'), await horcrux.startReplica('audit')]
})
afterAll(() => horcrux?.stop())

const leave = (path = '/api/vms/7') =>
  recordAudit({ caller: bob, kind: 'vm_started', path, action: 'vms.start', result: 'success', request_id: 'r' })
const ask = (nodeID: string, action: string, params: object = {}) =>
  horcrux.broker.call<never, object>(`audit.${action}`, params, {
    nodeID,
    timeout: 60_000,
    meta: { caller: { kind: 'service', name: 'test' }, requestId: 'test' },
  })

type Piece = ExportHead | AuditRecord | Checkpoint

async function exported(): Promise<string[]> {
  const lines: string[] = []
  let cursor: string | null | undefined
  do {
    const page = await horcrux.call(audit, 'export', { limit: 700, ...(cursor && { cursor }) })
    lines.push(...page.data.map((piece: Piece) => JSON.stringify(piece)))
    cursor = page.next_cursor
  } while (cursor)
  return lines
}

test('three replicas that chain at once make one chain, also when one of them dies on the way', async () => {
  const nodes = [horcrux.broker.nodeID, ...replicas.map(({ nodeId }) => nodeId)]
  const writing = Promise.all(Array.from({ length: 3000 }, (_, i) => leave(`/api/vms/${i}`)))
  const reading = Promise.allSettled(
    nodes.flatMap((node) => Array.from({ length: 5 }, () => ask(node, 'list', { limit: 1 }))),
  )
  await replicas[0]!.kill()
  await Promise.all([writing, reading])
  const verdict = await horcrux.call(audit, 'verify', {}, { timeoutMs: 60_000 })
  expect(verdict).toMatchObject({ valid: true, findings: [], records: 3000, to_seq: 3000 })
  const paths = (await horcrux.call(audit, 'stats', {})).total
  expect(paths).toBe(3000)
})

test('an export is proven offline, page by page as it came', async () => {
  const lines = await exported()
  expect(verifyLines(lines)).toMatchObject({ valid: true, records: 3000 })
  expect(verifyLines(lines.toSpliced(1500, 1)).valid).toBe(false)
})

test('filters, cursor and order', async () => {
  await leave('/api/containers/1')
  const first = await horcrux.call(audit, 'list', { resource: '/api/vms/29*', limit: 10 })
  expect(first.total).toBe(111)
  const second = await horcrux.call(audit, 'list', { resource: '/api/vms/29*', limit: 10, cursor: first.next_cursor! })
  expect(Math.min(...first.data.map(({ seq }) => seq))).toBeGreaterThan(Math.max(...second.data.map(({ seq }) => seq)))
  const oldest = await horcrux.call(audit, 'list', { order: 'asc', limit: 2 })
  expect(oldest.data.map(({ seq }) => seq)).toEqual([1, 2])
  await expect(horcrux.call(audit, 'list', { kind: 'nonsense' })).rejects.toThrow(/no kind 'nonsense'/)
  await expect(horcrux.call(audit, 'list', { cursor: 'bm9wZQ' })).rejects.toThrow(/not a cursor/)
})

test('records cut from the end of the store are reported missing, because the signed head names them', async () => {
  const before = await horcrux.call(audit, 'verify', {})
  await exported()
  const [last] = await chain.collection.find({ seq: before.to_seq! }).toArray()
  await chain.collection.deleteOne({ seq: before.to_seq! })
  const after = await horcrux.call(audit, 'verify', {})
  expect(after.valid).toBe(false)
  expect(after.findings.some(({ problem, seq }) => problem === 'truncated' && seq === before.to_seq)).toBe(true)
  await chain.collection.insertOne(last!)
  expect((await horcrux.call(audit, 'verify', {})).valid).toBe(true)
})

test('records removed by retention are signed for; other removed records are reported missing', async () => {
  await horcrux.call(audit, 'setRetention', { days: 30 })
  await leave()
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31 * 24 * 3_600_000 })
  await leave('/api/vms/new')
  await horcrux.call(audit, 'list', { limit: 1 })
  await applyRetention()
  vi.useRealTimers()
  const verdict = await horcrux.call(audit, 'verify', {})
  expect(verdict).toMatchObject({ valid: true, records: 1 })
  expect(verifyLines(await exported())).toMatchObject({ valid: true, records: 1 })
  await checkpoints.collection.updateOne({ cut: true }, { $inc: { seq: -1 } })
  expect((await horcrux.call(audit, 'verify', {})).valid).toBe(false)
})
