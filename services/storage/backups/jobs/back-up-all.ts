import type { Outcome } from '#shared/contracts/storage/backup-jobs.ts'
import { idOfSeed } from '#shared/ids.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { every } from '#shared/runtime/repeat.ts'
import { type Active, cancelAll, childrenOf } from './children.ts'
import { jobRecords } from './model.ts'
import { subjectOf, type Target } from './select.ts'

type How = { job: string; pool: string; perNode: number; bandwidthMib: number | null }

const lookEveryMs = 1000

/** A virtual machine and a container may have the same id. */
const keyOf = ({ kind, id }: Target) => (kind === 'vm' ? id : `container ${id}`)

/** True once a run is to stop: a caller asked for it, or its job was deleted. */
async function mustStop(op: Op, job: string): Promise<boolean> {
  const record = await jobRecords.get(job)
  return record === null || record.stopping === op.id
}

/**
 * Backs up virtual machines and containers, so many of each node at a time. A failure is the result of that one; a run that
 * is stopped cancels those that are being backed up and skips the rest.
 */
export async function backUpAll(
  op: Op,
  targets: Target[],
  { job, pool, perNode, bandwidthMib }: How,
): Promise<Outcome[]> {
  const active: Active = new Set()
  const children = childrenOf(op, active)
  const outcomes = new Map<string, Outcome>()
  let isStopped = await mustStop(op, job)
  const stopWatching = every(
    lookEveryMs,
    async () => {
      isStopped ||= await mustStop(op, job)
      if (isStopped) await cancelAll(active)
    },
    { part: 'backups', failed: 'a job of backups could not be read' },
  )

  async function backUp(target: Target): Promise<Outcome> {
    const outcome = { ...subjectOf(target), name: target.name, backup_id: null }
    const reason = isStopped ? 'the run was stopped' : target.skip
    if (reason !== null) return { ...outcome, state: 'skipped', reason }
    const id = idOfSeed(op.id, `backup of ${keyOf(target)}`)
    const given = { id, pool, job, bandwidth_mib: bandwidthMib }
    const error = await (target.kind === 'vm'
      ? children.save({ ...given, vm_id: target.id })
      : children.saveContainer({ ...given, container_id: target.id }))
    if (error === null) return { ...outcome, state: 'succeeded', backup_id: id, reason: null }
    op.log(
      `${target.kind === 'vm' ? 'Virtual machine' : 'Container'} '${target.id}' is not backed up: ${error.message}`,
    )
    return { ...outcome, state: 'failed', reason: error.message }
  }

  async function work(queue: Target[]): Promise<void> {
    for (let target = queue.shift(); target; target = queue.shift()) {
      outcomes.set(keyOf(target), await backUp(target))
      op.progress(outcomes.size, targets.length, 'steps')
    }
  }

  const queues = [...Map.groupBy(targets, ({ node }) => node).values()].map((own) => [...own])
  try {
    const workers = queues.flatMap((queue) =>
      Array.from({ length: Math.min(perNode, queue.length) }, () => work(queue)),
    )
    const ended = await Promise.allSettled(workers)
    const broken = ended.find(({ status }) => status === 'rejected')
    if (broken) throw (broken as PromiseRejectedResult).reason
  } finally {
    stopWatching()
  }
  return targets.map((target) => outcomes.get(keyOf(target))!)
}
