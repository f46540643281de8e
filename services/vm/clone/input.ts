import type { CloneMode } from '#shared/contracts/storage/volumes.ts'
import type { NetworkConfig } from '#shared/contracts/vm/clones.ts'
import type { Room } from '../lifecycle/quota-reservation.ts'
import type { VmRecord } from '../model.ts'
import type { ClonedDisk } from './disks.ts'

/** The stored input of a clone operation: `acceptClone` returns it, each run gets it. */
export type CloneInput = {
  source: string
  mode: CloneMode
  /** The record of the clone; its disks are still those of the source. */
  vm: Omit<VmRecord, 'version'>
  disks: ClonedDisk[]
  network: (NetworkConfig & { hostname: string }) | null
  start: boolean
  /** The source runs: its hypervisor copies its disks. */
  isRunning?: boolean
  room?: Room
  /** The snapshot of the source that is cloned. */
  snapshot?: string
  /** The clone is made on another node than this one, where the source is. */
  across?: { from: string; isCompressed: boolean; bytesPerSecond: number | null }
}
