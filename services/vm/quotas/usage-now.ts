import type { Quota, QuotaUsage } from '#shared/contracts/vm/snapshot-quotas.ts'
import { countedIn } from './counted.ts'
import { rooms } from './model.ts'
import { liveReservations, usageOf } from './usage.ts'

/** The use of a quota now. */
export async function usageNow(quota: Quota): Promise<QuotaUsage> {
  const room = await rooms.get(quota.id)
  const found = await countedIn(quota.scope)
  return usageOf(quota, found, liveReservations(room?.reservations ?? {}, found, Date.now()))
}
