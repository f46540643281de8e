import type { Pool } from '#shared/contracts/storage/pools.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import type { PoolRecord } from '../models.ts'
import type { Usage } from '../drivers/driver.ts'
import { ofState, requireIdentity, usageOf } from './identity.ts'
import { place } from './open-pool.ts'
import { floorOf, isLow } from './room.ts'

export type Measured = Pick<Pool, 'capacity_bytes' | 'available_bytes' | 'usage' | 'health' | 'health_reason'> & {
  fills: Omit<Pool['fills'][number], 'full_at'>[]
}

type Answer = { usage: Usage; measured_at: string }
/** The last answer of each storage pool, to be shown with its age while the storage pool does not answer. */
const last = new Map<string, Answer>()

/** The health of a storage pool of which the identity or the usage could not be read. */
function healthOf(error: unknown): Pool['health'] {
  if (error instanceof NotFoundError) return 'missing'
  return error instanceof ConflictError ? 'foreign' : 'unreachable'
}

/** Figures as callers see them. */
export const figuresAt = (figures: Usage['figures'], measured_at: string) => ({
  ...figures,
  measured_at,
  age_seconds: ageOf(measured_at),
})

const ageOf = (time: string) => Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000))

function view(answer: Answer | undefined): Pick<Measured, 'usage' | 'fills'> {
  if (!answer) return { usage: null, fills: [] }
  const { usage, measured_at } = answer
  return {
    usage: figuresAt(usage.figures, measured_at),
    fills: usage.fills.map((fill) => ({ ...fill, floor_bytes: floorOf(fill) })),
  }
}

/** The health of a storage pool that answers. */
function judged({ fills, trouble }: Usage): Pick<Measured, 'health' | 'health_reason'> {
  const low = fills.filter(isLow).map(({ name }) => name)
  const reasons = [
    ...(trouble === undefined ? [] : [trouble]),
    ...(low.length > 0 ? [`nearly full: ${low.join(', ')}`] : []),
  ]
  if (reasons.length === 0) return { health: 'ok', health_reason: null }
  return { health: trouble === undefined ? 'low' : 'degraded', health_reason: reasons.join('; ') }
}

/** Measures a storage pool on a node that reaches it. One that does not answer is shown as such, with the reason. */
export async function measure(pool: PoolRecord): Promise<Measured> {
  try {
    const placed = await place(pool)
    await requireIdentity(placed, ofState(pool))
    const usage = await usageOf(placed)
    const answer = { usage, measured_at: now() }
    last.set(pool.id, answer)
    const { capacity_bytes, available_bytes } = usage
    return { capacity_bytes, available_bytes, ...view(answer), ...judged(usage) }
  } catch (error) {
    const health_reason = (error as Error).message
    const known = view(last.get(pool.id))
    return { capacity_bytes: null, available_bytes: null, ...known, health: healthOf(error), health_reason }
  }
}
