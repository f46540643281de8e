import { allPages } from '#shared/bus/all-pages.ts'
import { call } from '#shared/bus/call.ts'
import { networkPolicies } from '#shared/contracts/container/network-policies.ts'
import { audit } from '#shared/contracts/core/audit.ts'
import { gateways } from '#shared/contracts/core/gateways.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { backupJobs } from '#shared/contracts/storage/backup-jobs.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import type { Condition } from '#shared/contracts/metrics/alert-parts.ts'
import { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { AppError } from '#shared/errors.ts'

type Check = Extract<Condition, { kind: 'check' }>['check']

const recentMs = 600_000

/** Operations that have failed, or need attention, within the last ten minutes. */
async function failedOperations(): Promise<number> {
  const since = Date.now() - recentMs
  const isRecent = ({ ended_at, created_at }: { ended_at: string | null; created_at: string }) =>
    Date.parse(ended_at ?? created_at) >= since
  const states = ['failed', 'needs_attention']
  const lists = await Promise.all(
    states.map((state) => call(operations, 'list', { filter: `state:${state}`, limit: 100 })),
  )
  return lists.flatMap(({ data }) => data).filter(isRecent).length
}

/** 1 while the chain of audit records is complete and unchanged. */
async function auditIntact(): Promise<number> {
  const { valid } = await call(audit, 'verify', {}, { timeoutMs: 60_000 })
  return valid ? 1 : 0
}

/** Quotas of snapshots at or above their warning thresholds. */
async function snapshotQuotasWarning(): Promise<number> {
  return (await call(snapshotQuotas, 'summary', {})).warning
}

/** Virtual machines whose newest backup of a job is older than the job asks. */
async function overdueBackups(): Promise<number> {
  return (await call(backupJobs, 'summary', {})).overdue
}

/** Virtual machines whose newest point of a job of replication is older than the job asks. */
async function overdueReplicas(): Promise<number> {
  return (await call(replicationJobs, 'summary', {})).overdue
}

/** Network policies that do not hold for something that they select. */
async function unenforcedPolicies(): Promise<number> {
  const policies = await allPages((page) => call(networkPolicies, 'list', page))
  return policies.filter(({ enforced }) => !enforced).length
}

/** Verifications of virtual machines that have failed, or are older than a job asks. */
async function unprovenBackups(): Promise<number> {
  return (await call(backupJobs, 'summary', {})).unproven
}

const dayMs = 86_400_000

/** Days until the TLS certificate ends; null without TLS. */
async function certificateDays(): Promise<number | null> {
  const { ends_at } = await call(gateways, 'certificate', {})
  return ends_at === null ? null : (Date.parse(ends_at) - Date.now()) / dayMs
}

const checks: Record<Check, { everyMs: number; run: () => Promise<number | null> }> = {
  failed_operations: { everyMs: 60_000, run: failedOperations },
  snapshot_quotas: { everyMs: 60_000, run: snapshotQuotasWarning },
  unenforced_policies: { everyMs: 60_000, run: unenforcedPolicies },
  overdue_backups: { everyMs: 300_000, run: overdueBackups },
  overdue_replicas: { everyMs: 300_000, run: overdueReplicas },
  unproven_backups: { everyMs: 300_000, run: unprovenBackups },
  certificate_days: { everyMs: 3_600_000, run: certificateDays },
  // Verifying reads the whole chain.
  audit_intact: { everyMs: 3_600_000, run: auditIntact },
}

const kept = new Map<Check, { until: number; value: number | null }>()

/** The value of a check, from the last time that it ran; null if it could not. */
export async function checkValue(check: Check): Promise<number | null> {
  const known = kept.get(check)
  if (known && known.until > performance.now()) return known.value
  const { everyMs, run } = checks[check]
  const value = await run().catch((error: unknown) => {
    if (error instanceof AppError) return null
    throw error
  })
  kept.set(check, { until: performance.now() + (value === null ? 60_000 : everyMs), value })
  return value
}
