import { call } from '#shared/bus/call.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { documentsOf } from '../cloudinit/documents.ts'
import { dropSeed, keepSettings } from '../cloudinit/model.ts'
import { settingsOf } from '../cloudinit/network.ts'
import { createSeed } from '../cloudinit/seed.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type DiskRecord, apiPathOf, viewOf, vmRecords } from '../model.ts'
import { giveRoomBack, takeRoom } from '../lifecycle/quota-reservation.ts'
import { register } from '../lifecycle/register.ts'
import { carryState, dropCarried, sendDisk } from './across/send.ts'
import { noteUse } from '../snapshots/model.ts'
import { requireStatus, settle, settleAtEnd } from '../state/status.ts'
import type { CloneInput } from './input.ts'
import { type ClonedDisk, undoDisk } from './disks.ts'
import { requireStillFree } from '../hardware/macs.ts'
import { giveSecrets } from '../hardware/secrets.ts'
import { copyRunning, isWritten, requireStillRunning } from './live-clone.ts'

/** Makes a clone. The first word of each step is its stage in the clone's job. */
export async function runClone(op: Op, input: CloneInput): Promise<Vm> {
  const { vm, network, room } = input
  if (room) await op.step('preparing room', () => takeRoom(room), { undo: () => giveRoomBack(room) })
  const sizes = await op.step('preparing', () => prepare(input))
  const disks = await cloneDisks(op, input, sizes)
  const nics = await op.step('generating_macs', async () => {
    await requireStillFree(
      vm.nics.map(({ mac }) => mac),
      vm.id,
    )
    return vm.nics
  })
  let { seed } = vm
  if (network) {
    const macs = nics.map(({ mac }) => mac)
    const settings = await op.step('configuring_network', async () => settingsOf(network, macs))
    // cloud-init runs again for a new instance id.
    const documents = documentsOf({ id: vm.id, name: vm.name, nics }, settings, null)
    const make = async () => {
      await keepSettings(vm.id, settings)
      return createSeed(vm, documents)
    }
    seed = await op.step('creating_cloud_init', make, { undo: () => dropSeed(vm) })
  }
  await finalize(op, { ...vm, disks, nics, seed }, input)
  return viewOf(await settleAtEnd(vm.id))
}

/** The bytes to be copied of each disk; none for a linked clone. */
async function prepare({ source, snapshot, mode, disks, isRunning }: CloneInput): Promise<number[]> {
  const from = await settle(source)
  if (isRunning) requireStillRunning(from)
  else if (snapshot === undefined) requireStatus(from, 'clone', ['stopped'])
  if (mode === 'linked') return disks.map(() => 0)
  const measured = disks.map(async (disk) => {
    const { pool: id, volume, size_bytes } = disk.source
    // The hypervisor counts empty space as well.
    if (isRunning && isWritten(disk)) return size_bytes
    const words = { id, volume, ...(snapshot && { snapshot }) }
    return (await call(volumesInternal, 'measure', words, { timeoutMs: 120_000 })).data_bytes
  })
  return Promise.all(measured)
}

/** Copies the disks, one by one in the storage, or all at once by the hypervisor of a running guest. @returns them in order */
async function cloneDisks(op: Op, input: CloneInput, sizes: number[]): Promise<DiskRecord[]> {
  const { mode, disks, isRunning } = input
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const made = new Map<string, DiskRecord>()
  let before = 0
  for (const [index, disk] of disks.entries()) {
    if (isRunning && isWritten(disk)) continue
    made.set(disk.target.id, await cloneDisk(op, input, disk, { before, total }))
    before += sizes[index]!
    if (mode === 'full') op.progress(before, total, 'bytes')
  }
  const written = isRunning ? disks.filter(isWritten) : []
  const onProgress = (done: number) => op.progress(before + done, total, 'bytes')
  for (const disk of await copyRunning(op, input, written, onProgress)) made.set(disk.id, disk)
  if (written.length > 0) op.progress(total, total, 'bytes')
  return disks.map(({ target }) => made.get(target.id)!)
}

async function cloneDisk(
  op: Op,
  input: CloneInput,
  disk: ClonedDisk,
  within: { before: number; total: number },
): Promise<DiskRecord> {
  if (disk.isSent && input.across) return sendDisk(op, input, input.across, disk, within)
  const { source, snapshot, mode, vm, across } = input
  const { source: from, target } = disk
  const { pool, volume: name, format } = target
  const owner = apiPathOf(vm.id)
  const { source: made, size_bytes } = await op.child(
    volumesInternal,
    'cloneFor',
    {
      id: from.pool,
      volume: from.volume,
      source_owner: apiPathOf(source),
      ...(snapshot && { snapshot }),
      mode,
      pool,
      name,
      format,
      owner,
      node: vm.node,
      ...(across?.bytesPerSecond && { bytes_per_second: across.bytesPerSecond }),
    },
    { name: `cloning_disk ${target.id}`, within, undo: () => undoDisk(target, owner) },
  )
  return { ...target, source: made, format, size_bytes }
}

async function finalize(op: Op, vm: CloneInput['vm'], { source, snapshot, start, across }: CloneInput): Promise<void> {
  const driver = driverOf(vm)
  const define = async () => {
    await giveSecrets(vm)
    await driver.define(vm)
    const original = await vmRecords.require(source)
    await driver.firmware?.copy(original, vm)
    // The variables of then, instead of those of now.
    if (snapshot && across) await carryState(original, snapshot, vm)
    else if (snapshot) await driver.snapshots?.restoreState(vm, snapshot)
  }
  const undo = async () => {
    await driver.undefine(vm)
    if (snapshot && across) await dropCarried(vm)
  }
  await op.step('finalizing domain', define, { undo })
  await register(op, 'finalizing record', vm)
  if (snapshot) await op.step('finalizing snapshot', () => noteUse(snapshot))
  if (start) await op.step('finalizing start', () => driver.start(vm), { undo: () => driver.stop(vm) })
}
