import type { MaySee } from '#shared/access/access.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { countedIn } from './counted.ts'
import { quotaRecords, rooms } from './model.ts'
import { isInScope, liveReservations, usageOf } from './usage.ts'

/** The use of all quotas that a caller may see. All snapshots are read once, however many quotas there are. */
export async function summaryOf(maySee: MaySee): Promise<Result<typeof snapshotQuotas, 'summary'>> {
  const quotas = (await quotaRecords.all()).filter(({ id }) => maySee.all || maySee.item(id))
  const [snapshots, reserved] =
    quotas.length === 0 ? [[], []] : [await countedIn({ kind: 'global' }), await rooms.all()]
  const reservations = new Map(reserved.map((room) => [room.id, room.reservations]))
  const now = Date.now()
  const data = quotas.map((quota) => {
    const { name, scope, max_count, max_bytes } = quota
    const found = snapshots.filter((snapshot) => isInScope(scope, snapshot))
    const usage = usageOf(quota, found, liveReservations(reservations.get(quota.id) ?? {}, found, now))
    return { ...usage, name, scope, max_count, max_bytes }
  })
  const fullness = (each: (typeof data)[number]) => Math.max(each.count_percent ?? 0, each.bytes_percent ?? 0)
  return {
    total: data.length,
    warning: data.filter(({ state }) => state !== 'ok').length,
    exceeded: data.filter(({ state }) => state === 'exceeded').length,
    data: data.toSorted((a, b) => fullness(b) - fullness(a)),
  }
}
