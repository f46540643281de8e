import type { PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { btrfs } from './btrfs/btrfs.ts'
import { ceph } from './ceph/ceph.ts'
import { cifs } from './cifs/cifs.ts'
import { dir } from './dir/dir.ts'
import type { PoolDriver } from './driver.ts'
import { glusterfs } from './glusterfs/glusterfs.ts'
import { iscsi } from './iscsi/iscsi.ts'
import { lvm } from './lvm/lvm.ts'
import { nfs } from './nfs/nfs.ts'
import { s3 } from './s3/s3.ts'
import { zfs } from './zfs/zfs.ts'

/**
 * The driver of every kind; a kind of the contract without one does not compile. A disk is detected in this order: the
 * folder comes last, because a file on Btrfs is in a folder too.
 */
export const drivers: { [K in PoolType]: PoolDriver<K> } = {
  zfs,
  lvm,
  btrfs,
  ceph,
  iscsi,
  nfs,
  cifs,
  glusterfs,
  s3,
  dir,
}

/** The driver of a storage pool. Its verbs take the configuration of just that pool. */
export const driverOf = ({ type }: { type: PoolType }): PoolDriver => drivers[type]

/** Puts other drivers in the places of all, such as those of a simulation. */
export function replaceDrivers(make: <K extends PoolType>(driver: PoolDriver<K>) => PoolDriver<K>): void {
  for (const [name, driver] of Object.entries(drivers)) Object.assign(drivers, { [name]: make(driver as PoolDriver) })
}
