import { pools } from '#shared/contracts/storage/pools.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { replicas } from '#shared/contracts/storage/replicas.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { done } from '../product/run-operation.ts'
import type { Calling, Scenario } from './scenario.ts'

type Given = { off: (horcrux: Calling) => Promise<unknown> }

const target = { id: 'replicas', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/replicas' }
const replica = { id: 'replica-of-it' }
const transfer = {
  ...replica,
  job: 'nightly',
  vm_id: 'it',
  node: 'hv1',
  pool: target.id,
  bandwidth_mib: null,
  retention: null,
  timezone: 'UTC',
}

/** The operations on replicas. Each begins with a replica that has a point, and a run replaces the point by a newer one. */
export function replicationScenarios({ off }: Given): Record<string, Scenario> {
  const withTarget = async (horcrux: Calling) => {
    await off(horcrux)
    await horcrux.call(pools, 'create', target).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) throw error
    })
  }
  const replicated = async (horcrux: Calling) => {
    await withTarget(horcrux)
    await done(horcrux, replicas, 'transferFor', transfer)
  }
  const withJob = async (horcrux: Calling) => {
    await withTarget(horcrux)
    await horcrux.call(replicationJobs, 'create', {
      id: 'nightly',
      name: 'nightly',
      selection: { kind: 'vm', vm_id: 'it' },
      node: 'hv1',
      pool: target.id,
    } as never)
    await done(horcrux, replicationJobs, 'execute', { id: 'nightly' })
  }
  const failedOver = async (horcrux: Calling) => {
    await replicated(horcrux)
    await done(horcrux, replicas, 'failover', { ...replica, vm_id: 'copy', name: 'copy', start: false })
  }
  return {
    'replicas.transferFor': { before: replicated, params: transfer },
    'replicas.delete': { before: replicated, params: replica },
    'replicas.test': { before: replicated, params: { ...replica, check: { kind: 'running', seconds: 1 } } },
    'replicas.failover': { before: replicated, params: { ...replica, vm_id: 'copy', name: 'copy' } },
    'replicas.failback': { before: failedOver, params: { ...replica, start: false } },
    'replication-jobs.execute': { before: withJob, params: { id: 'nightly' } },
    'replication-jobs.executeDue': {
      before: withJob,
      params: { id: 'nightly', due: '2026-01-01T00:00:00.000Z', missed: 2 },
    },
  }
}

/** The replicas with the number of their points, and the volumes of their storage pool. */
export async function readReplicas(horcrux: Calling): Promise<string[]> {
  const { data } = await horcrux.call(replicas, 'list', {})
  const found = data.map(({ vm_id, points, failover }) => `${vm_id}: ${points.length} points, ${failover?.vm_id}`)
  const stored = await horcrux.call(volumes, 'list', { id: target.id }).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error
    return { data: [] }
  })
  return [...found, ...stored.data.map(({ name, used_by, snapshots }) => `${name} ${used_by} ${snapshots} snapshots`)]
}

/** Takes away the replicas of a scenario, whose VMs are gone. */
export async function clearReplicas(horcrux: Calling): Promise<void> {
  for (const { id } of (await horcrux.call(replicationJobs, 'list', {})).data)
    await horcrux.call(replicationJobs, 'delete', { id })
  for (const { id } of (await horcrux.call(replicas, 'list', {})).data) await done(horcrux, replicas, 'delete', { id })
  await horcrux.call(pools, 'delete', { id: target.id }).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error
  })
}
