import { openObjects } from '../../pools/open-pool.ts'
import { requireBeginnable } from '../../pools/room.ts'

/** Requires that the storage pool of a store is in its place, and not nearly full. @throws ConflictError */
export const requireSpace = async (pool: string): Promise<void> => requireBeginnable(await openObjects(pool))
