import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { DiskRecord, VmRecord } from '../model.ts'
import { readerOf } from './disk-users.ts'

/** Has the storage keep the volumes that a disk in no storage pool reads from as they are. */
export const holdBases = ({ id, node }: Pick<VmRecord, 'id' | 'node'>, disk: DiskRecord) =>
  call(volumesInternal, 'hold', { node, source: disk.source, format: disk.format, reader: readerOf(id, disk) })

/** Undoes {@link holdBases}; a disk that reads from no volume is fine. */
export async function releaseBases(vm: string, disk: DiskRecord): Promise<void> {
  if (disk.reads) await call(volumesInternal, 'release', { reader: readerOf(vm, disk) })
}
