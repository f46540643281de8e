import type { Pool } from '#shared/contracts/storage/pools.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import type { PoolRecord } from '../models.ts'
import type { Usage } from '../drivers/driver.ts'
import { requireIdentity, usageOf } from './identity.ts'
import { place } from './open-pool.ts'
import { floorOf, isLow } from './room.ts'

export type Measured = Pick<Pool, 'capacity_bytes' | 'available_bytes' | 'usage' | 'fills' | 'health' | 'health_reason'>

type Answer = { usage: Usage; measured_at: string }
/** The last answer of each storage pool, to be shown with its age while the storage pool does not answer. */
const last = new Map<string, Answer>()

/** The health of a storage pool of which the identity or the usage could not be read. */
function healthOf(error: unknown): Pool['health'] {
  if (error instanceof NotFoundError) return 'missing'
  return error instanceof ConflictError ? 'foreign' : 'unreachable'
}

const ageOf = (time: string) => Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000))

function view(answer: Answer | undefined): Pick<Measured, 'usage' | 'fills'> {
  if (!answer) return { usage: null, fills: [] }
  const { usage, measured_at } = answer
  return {
    usage: { ...usage.figures, measured_at, age_seconds: ageOf(measured_at) },
    fills: usage.fills.map((fill) => ({ ...fill, floor_bytes: floorOf(fill) })),
  }
}

/** Measures a storage pool on a node that reaches it. One that does not answer is shown as such, with the reason. */
export async function measure(pool: PoolRecord): Promise<Measured> {
  try {
    const placed = await place(pool)
    await requireIdentity(placed)
    const usage = await usageOf(placed)
    const answer = { usage, measured_at: now() }
    last.set(pool.id, answer)
    const { capacity_bytes, available_bytes, fills } = usage
    const low = fills.filter(isLow).map(({ name }) => name)
    const health_reason = low.length > 0 ? `Nearly full: ${low.join(', ')}` : null
    return { capacity_bytes, available_bytes, ...view(answer), health: low.length > 0 ? 'low' : 'ok', health_reason }
  } catch (error) {
    const health_reason = (error as Error).message
    const known = view(last.get(pool.id))
    return { capacity_bytes: null, available_bytes: null, ...known, health: healthOf(error), health_reason }
  }
}
