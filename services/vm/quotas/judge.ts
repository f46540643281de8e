import type { Quota } from '#shared/contracts/vm/snapshot-quotas.ts'
import { AppError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { vmRecords } from '../model.ts'
import { usageOn, withUsage } from '../snapshots/disks.ts'
import { snapshotRecords } from '../snapshots/model.ts'
import { noteSize, repairSizes } from '../snapshots/sizes.ts'
import { quotaRecords } from './model.ts'
import { usageNow } from './usage-now.ts'
import { isInScope } from './usage.ts'

const judgeEveryMs = 60_000
/** The bytes of snapshots under a quota of bytes are measured again after this time: those of some kinds grow. */
const freshMs = 600_000

/** Records whether quotas warn, each change with its event. */
export async function judge(quotas: readonly Quota[]): Promise<void> {
  for (const quota of quotas) {
    const usage = await usageNow(quota)
    const is_warning = usage.state !== 'ok'
    if (is_warning === quota.is_warning) continue
    const { id, name, version } = quota
    const { count, bytes, state } = usage
    const events = [event('SnapshotQuotaChanged', { quota_id: id, name, state, count, bytes, timestamp: now() })]
    await quotaRecords.updateWhere({ _id: id, version }, { set: { is_warning }, events })
  }
}

/** Measures all snapshots of a VM again. */
async function measureAgain(vm: string): Promise<void> {
  const [owner, all] = [await vmRecords.get(vm), await snapshotRecords.all({ vm_id: vm, state: 'ready' })]
  if (!owner) return
  const volumes = new Map(all.flatMap(({ disks }) => disks.map((disk) => [`${disk.pool}/${disk.volume}`, disk])))
  const data = await usageOn([...volumes.values()], owner.node)
  for (const record of all) {
    const { disks, size_bytes, measured_at } = withUsage(record, data)
    const { id, version } = record
    const set = { disks, size_bytes, measured_at }
    const written = await snapshotRecords.updateWhere({ _id: id, version }, { set })
    if (written) await noteSize(written)
  }
}

/** Measures the snapshots under quotas of bytes whose bytes are old. */
async function measureOld(quotas: readonly Quota[]): Promise<void> {
  const counting = quotas.filter(({ max_bytes }) => max_bytes !== null)
  if (counting.length === 0) return
  const since = new Date(Date.now() - freshMs).toISOString()
  const old = await snapshotRecords.all({ state: 'ready', measured_at: { $lt: since } })
  const found = old.filter((snapshot) => counting.some(({ scope }) => isInScope(scope, snapshot)))
  for (const vm of new Set(found.map(({ vm_id }) => vm_id)))
    await measureAgain(vm).catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error
      log('snapshots').info({ err: error, vm }, 'the bytes of snapshots were not measured')
    })
}

/** Judges the quotas regularly. @returns a function that stops it */
export function judgeQuotas(): () => void {
  let isFirst = true
  const turn = async () => {
    const quotas = await quotaRecords.all()
    // A version without quotas has written no sizes.
    if (isFirst || quotas.length > 0) await repairSizes()
    isFirst = false
    await measureOld(quotas)
    await judge(quotas)
  }
  return every(judgeEveryMs, turn, { part: 'snapshots', failed: 'the quotas of snapshots could not be judged' })
}

/** Judges the quotas that count a snapshot which was made or deleted. */
export const judgeFor = async (snapshot: Parameters<typeof isInScope>[1]): Promise<void> =>
  judge((await quotaRecords.all()).filter(({ scope }) => isInScope(scope, snapshot)))
