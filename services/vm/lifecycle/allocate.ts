import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { type DiskRecord, apiPathOf, type VmRecord } from '../model.ts'
import type { PlannedDisk } from '../hardware/plan.ts'

type Placed = Pick<VmRecord, 'id' | 'node'>

/** Makes or attaches disks, one after the other, with the bytes copied of images as progress. */
export async function allocateAll(op: Op, vm: Placed, disks: PlannedDisk[]): Promise<DiskRecord[]> {
  const total = disks.reduce((sum, disk) => sum + bytesToCopy(disk), 0)
  const made: DiskRecord[] = []
  let before = 0
  for (const planned of disks) {
    made.push(await allocate(op, vm, planned, { before, total }))
    before += bytesToCopy(planned)
  }
  return made
}

const bytesToCopy = ({ image, part, foreign }: PlannedDisk) => foreign?.size_bytes ?? (image ?? part)?.data_bytes ?? 0

/** The origin of the bytes of a disk; undefined for an empty or existing one. */
function originOf({ image, part, foreign }: PlannedDisk) {
  if (foreign) return { foreign }
  if (part) return { part }
  return image && { image: image.path }
}

async function allocate(
  op: Op,
  vm: Placed,
  planned: PlannedDisk,
  within: { before: number; total: number },
): Promise<DiskRecord> {
  const { disk } = planned
  const origin = originOf(planned)
  const undo = () => giveBack(vm, planned)
  if (!origin) return op.step(`allocating disk ${disk.id}`, () => allocateNow(vm, planned), { undo })
  const { pool: id, volume: name, size_bytes: size, format } = disk
  const { source } = await op.child(
    volumesInternal,
    'importFor',
    { id, name, size, format, ...origin, owner: apiPathOf(vm.id), node: vm.node },
    { name: `copying image to disk ${disk.id}`, within, undo },
  )
  return { ...disk, source }
}

async function allocateNow(vm: Placed, { disk, isNew }: PlannedDisk): Promise<DiskRecord> {
  const { pool: id, volume, size_bytes: size, format } = disk
  const owner = apiPathOf(vm.id)
  const made = isNew
    ? await call(
        volumesInternal,
        'createFor',
        { id, name: volume, size, format, owner, node: vm.node },
        { timeoutMs: 60_000 },
      )
    : await call(volumesInternal, 'attach', { id, volume, owner, node: vm.node })
  return { ...disk, source: made.source, format: made.format, size_bytes: made.size_bytes }
}

const giveBack = (vm: Placed, { disk: { pool: id, volume }, isNew }: PlannedDisk) =>
  call(volumesInternal, isNew ? 'deleteFor' : 'detach', { id, volume, owner: apiPathOf(vm.id) })
