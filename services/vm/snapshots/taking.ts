import { requirePart } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'
import type { Wanted } from '../quotas/usage.ts'
import type { SnapshotDisk } from './model.ts'

/** The stored input of the operation. */
export type Taking = {
  vm: string
  node: string
  snapshot: string
  name: string
  description: string
  schedule: string | null
  includeMemory: boolean
  disks: SnapshotDisk[]
  /** Counted by quotas; a version without quotas has written none. */
  wanted?: Wanted
  /** Snapshots that the operation deletes afterwards: they take no room in quotas. */
  without?: string[]
}

export const snapshotsOf = (vm: VmRecord) =>
  requirePart(vm, 'snapshots', (hypervisor) => `Horcrux takes no snapshots of guests of ${hypervisor}`)
