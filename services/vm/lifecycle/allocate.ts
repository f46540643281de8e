import { call } from '#shared/bus/call.ts'
import type { Disk } from '#shared/contracts/vm/hardware.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { pathOf } from '../model.ts'
import type { PlannedDisk } from '../hardware/plan.ts'

/** Makes or attaches disks, one after the other; the progress counts the bytes that are copied of images. */
export async function allocateAll(op: Op, vmId: string, disks: PlannedDisk[]): Promise<Disk[]> {
  const total = disks.reduce((sum, { image }) => sum + (image?.data_bytes ?? 0), 0)
  const made: Disk[] = []
  let before = 0
  for (const planned of disks) {
    made.push(await allocate(op, vmId, planned, { before, total }))
    before += planned.image?.data_bytes ?? 0
  }
  return made
}

async function allocate(
  op: Op,
  vmId: string,
  planned: PlannedDisk,
  within: { before: number; total: number },
): Promise<Disk> {
  const { disk, image } = planned
  const undo = () => giveBack(vmId, planned)
  if (!image) return op.step(`allocating disk ${disk.id}`, () => allocateNow(vmId, planned), { undo })
  const { pool: id, volume: name, size_bytes: size, format } = disk
  const { path } = await op.child(
    volumesInternal,
    'importFor',
    { id, name, size, format, image: image.path, owner: pathOf(vmId) },
    { name: `copying image to disk ${disk.id}`, within, undo },
  )
  return { ...disk, path }
}

async function allocateNow(vmId: string, { disk, isNew }: PlannedDisk): Promise<Disk> {
  const { pool: id, volume, size_bytes: size, format } = disk
  const owner = pathOf(vmId)
  const made = isNew
    ? await call(volumesInternal, 'createFor', { id, name: volume, size, format, owner }, { timeoutMs: 60_000 })
    : await call(volumesInternal, 'attach', { id, volume, owner })
  return { ...disk, path: made.path, format: made.format, size_bytes: made.size_bytes }
}

const giveBack = (vmId: string, { disk: { pool: id, volume }, isNew }: PlannedDisk) =>
  call(volumesInternal, isNew ? 'deleteFor' : 'detach', { id, volume, owner: pathOf(vmId) })
