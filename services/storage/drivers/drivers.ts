import type { PoolType } from '#shared/contracts/storage/pools.ts'
import { dir } from './dir/dir.ts'
import type { PoolDriver } from './driver.ts'

/** Every driver there is; a type of the contract without one does not compile. */
export const drivers: Record<PoolType, PoolDriver> = { dir }
