import type { PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { ceph } from './ceph/ceph.ts'
import { dir } from './dir/dir.ts'
import type { PoolDriver } from './driver.ts'

/** The driver of every kind; a kind of the contract without one does not compile. */
export const drivers: { [K in PoolType]: PoolDriver<K> } = { dir, ceph }

/** The driver of a storage pool. Its verbs take the configuration of just that pool. */
export const driverOf = ({ type }: { type: PoolType }): PoolDriver => drivers[type]
