import { Type } from 'typebox'
import { hasHolderGone, newHolder } from '#shared/bus/liveness.ts'
import { hasEnded, type Lease, leaseFields, leaseFor, releaseLease, renewLease, takeLease } from '#shared/db/lease.ts'
import { findOne } from '#shared/db/commands.ts'
import { modelOf } from '#shared/db/model.ts'

const Leased = Type.Object({ id: Type.String(), ...leaseFields })
const model = modelOf('metric_leases', Leased, [])

/** A stopped process keeps a lease for this long at most; a process that has ended loses it at once. Milliseconds. */
const leaseMs = 18_000

/** The leases of one replica: of each piece of work only one replica has it. */
export type Leases = {
  /** Checks that this replica has the lease, or takes it if it is free, and renews it in time. */
  hold: (id: string) => Promise<boolean>
  /** Checks it by the clock of this process alone. */
  isHeld: (id: string) => boolean
  releaseAll: () => Promise<void>
  holder: string
}

export function createLeases(): Leases {
  const holder = newHolder()
  const held = new Map<string, { lease: Lease; epoch: number }>()
  /** The holder that this replica has met, of leases that it could not take. */
  const others = new Map<string, string>()

  const take = async (id: string): Promise<boolean> => {
    const other = others.get(id)
    const dead = other !== undefined && (await hasHolderGone(other)) ? other : undefined
    const lease = leaseFor(holder, leaseMs)
    const taken = await takeLease<{ epoch: number }>(model, { _id: id }, lease, { dead, upsert: true })
    if (taken) {
      held.set(id, { lease, epoch: taken.epoch })
      others.delete(id)
      return true
    }
    const found = await findOne<{ lease: Lease | null }>(model, { _id: id })
    if (found?.lease) others.set(id, found.lease.holder)
    return false
  }
  const isHeld = (id: string) => !hasEnded(held.get(id)?.lease)
  /** A lease is renewed in the second half of its time. */
  const isFresh = (lease: Lease) => Date.parse(lease.until) - Date.now() > leaseMs / 2

  return {
    holder,
    isHeld,
    async hold(id) {
      const mine = held.get(id)
      if (!mine || hasEnded(mine.lease)) {
        held.delete(id)
        return take(id)
      }
      if (isFresh(mine.lease)) return true
      const lease = leaseFor(holder, leaseMs)
      const isRenewed = await renewLease(model, { id, epoch: mine.epoch }, lease)
      if (isRenewed) held.set(id, { ...mine, lease })
      else held.delete(id)
      return isRenewed
    },
    async releaseAll() {
      const all = [...held]
      held.clear()
      for (const [id, { epoch }] of all) await releaseLease(model, { id, epoch }).catch(() => false)
    },
  }
}
