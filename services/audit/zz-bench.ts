import { recordAudit } from '#shared/audit.ts'
import { audit } from '#shared/contracts/audit.ts'
import { auditService } from './service.ts'
import { startHorcrux } from '../../test/lab/horcrux.ts'
const horcrux = await startHorcrux({ services: [auditService] })
const caller = { kind: 'service', name: 'bench', user: 'bob', address: '192.0.2.1' } as const
const c0 = process.cpuUsage()
const t = performance.now()
let done = 0
const total = 40_000
const worker = async () => {
  while (done < total) {
    done++
    await recordAudit({
      caller,
      kind: 'vm_started',
      path: '/api/vms/7',
      action: 'vms.start',
      result: 'success',
      request_id: 'r-' + done,
    })
  }
}
await Promise.all(Array.from({ length: 200 }, worker))
const written = performance.now() - t
const { total: inChain } = await horcrux.call(audit, 'list', { limit: 1 }, { timeoutMs: 120_000 })
const all = performance.now() - t
console.log({
  inboxPerSecond: Math.round((total / written) * 1000),
  chainedPerSecond: Math.round((inChain / all) * 1000),
  inChain,
})
const v = performance.now()
const verdict = await horcrux.call(audit, 'verify', {}, { timeoutMs: 120_000 })
console.log({ verifyPerSecond: Math.round((verdict.records / (performance.now() - v)) * 1000), valid: verdict.valid })
await horcrux.stop()
