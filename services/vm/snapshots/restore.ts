import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { snapshots } from '#shared/contracts/vm/snapshots.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { ConflictError, NotFoundError, notFound, type Violation } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { driverOf } from '../drivers/drivers.ts'
import { requireNoForeign } from '../hardware/foreign.ts'
import { requireStillFree } from '../hardware/macs.ts'
import { isInPool, type Pooled } from '../hardware/plan.ts'
import { countRoom, requireRoom } from '../lifecycle/quota-reservation.ts'
import { requireNoTemplate } from '../lifecycle/template-checks.ts'
import { apiPathOf, type DiskRecord, type VmRecord, viewOf, vmRecords } from '../model.ts'
import { requireNotSaved } from '../state/saved.ts'
import { requireStatus, settle, settleAtEnd } from '../state/status.ts'
import { throwAll } from '#shared/service/violations.ts'
import { define, withVolumes } from './disks.ts'
import {
  type BeforeRestore,
  noteUse,
  putState,
  type RestoredHardware,
  restoredHardwareOf,
  type SnapshotRecord,
  snapshotRecords,
  stateOf,
  volumesOf,
} from './model.ts'
import { endRestore } from './restored.ts'
import { snapshotsOf } from './taking.ts'

/** The stored input of a restore. */
export type Restoring = {
  vm: string
  node: string
  snapshot: string
  head: string
  hardware: RestoredHardware
  /** The disks of the snapshot; their sources are those of then. */
  disks: Pooled[]
  /** Volumes that belong to no VM now, and are attached again. */
  attached: { id: string; volume: string }[]
  /** Disks that were added since, whose volumes are free afterwards. */
  added: Pooled[]
  before: BeforeRestore
  memory: 'running' | 'paused' | null
  /** The key under which the state beside the disks is kept; that of the snapshot if not given. */
  stateKey?: string
}

/** The snapshot of a VM. @throws NotFoundError */
export async function snapshotOf(vm: string, id: string): Promise<SnapshotRecord> {
  const record = await snapshotRecords.get(id)
  if (record?.vm_id !== vm) throw notFound('Snapshot', id)
  return record
}

/** @throws ConflictError for a snapshot that is being made or deleted */
export function requireReady({ name, state }: SnapshotRecord): void {
  if (state !== 'ready') throw new ConflictError(`Snapshot '${name}' is ${state}`, { details: { state } })
}

/** The volumes of a snapshot that no VM has. @throws ConflictError for one that another VM has */
async function freeVolumes(vm: VmRecord, { name, disks }: SnapshotRecord) {
  const free: { id: string; volume: string }[] = []
  for (const { id: place, pool: id, volume } of disks) {
    const there = await call(volumes, 'get', { id, volume }).catch((error: unknown) => {
      if (error instanceof NotFoundError) return null
      throw error
    })
    if (there?.used_by === apiPathOf(vm.id)) continue
    if (!there || there.used_by !== null)
      throw new ConflictError(
        `Snapshot '${name}' cannot be restored: its disk ${place}, volume '${id}/${volume}', ${there ? `belongs to ${there.used_by} by now` : 'is gone'}`,
      )
    free.push({ id, volume })
  }
  return free
}

/** The hardware and disks of a snapshot, as a VM has them after the restore. */
export function restoredDisks(vm: VmRecord, { disks }: SnapshotRecord): Pooled[] {
  return disks.map(({ id, pool, volume, format, size_bytes, device_id, bus, cache }) => {
    const present = vm.disks.find((disk) => disk.pool === pool && disk.volume === volume)
    // The source follows from the volume when the restore has swapped its heads.
    const source = present?.source ?? ({ type: 'file', path: '/' } as const)
    // A version of Horcrux wrote bus and cache from the disk's own.
    const as = { bus, cache } as Pick<DiskRecord, 'bus' | 'cache'>
    return { id, device_id, pool, volume, format, size_bytes, source, readonly: false, ...as }
  })
}

async function requirePossible(vm: VmRecord, { hardware, disks }: Pick<Restoring, 'hardware' | 'disks'>) {
  await requireStillFree(
    hardware.nics.map(({ mac }) => mac),
    vm.id,
  )
  const after = { ...vm, ...hardware, disks }
  const lacking: Violation[] = await driverOf(vm).check(await reach(vm.node), after)
  throwAll(lacking)
  await requireRoom(vm, after, () => vmRecords.require(vm.id))
}

/**
 * Checks a restore completely.
 * @param config the hardware that the VM gets; that of the snapshot if not given
 */
export async function planRestore(
  { id, snapshot_id, restore_memory, head }: Params<typeof snapshots, 'restore'> & { head: string },
  config?: RestoredHardware,
): Promise<Restoring> {
  requireNoTemplate(await vmRecords.requireForChange(id), 'restore')
  const vm = await settle(id)
  const snapshot = await snapshotOf(id, snapshot_id)
  requireReady(snapshot)
  requireStatus(vm, 'restore', ['stopped'])
  await requireNotSaved(vm, 'restore')
  await requireNoForeign(vm, 'restore')
  snapshotsOf(vm)
  if (restore_memory && snapshot.memory_bytes === null)
    throw new ConflictError(`Snapshot '${snapshot.name}' was taken without memory: restore its disks alone`)
  const [hardware, disks] = [restoredHardwareOf(config ?? snapshot.config), restoredDisks(vm, snapshot)]
  await requirePossible(vm, { hardware, disks })
  const isKept = (disk: DiskRecord) => disks.some(({ pool, volume }) => pool === disk.pool && volume === disk.volume)
  const { current } = await stateOf(id)
  return {
    vm: id,
    node: vm.node,
    snapshot: snapshot_id,
    head,
    hardware,
    disks,
    attached: await freeVolumes(vm, snapshot),
    added: vm.disks.filter(isInPool).filter((disk) => !disk.readonly && !isKept(disk)),
    before: { head, snapshot: snapshot_id, hardware: restoredHardwareOf(vm), disks: vm.disks, current },
    memory: restore_memory ? (snapshot.vm_status === 'paused' ? 'paused' : 'running') : null,
  }
}

/** Gives the record of a VM other hardware and disks, and its host the definition. */
export async function record(
  id: string,
  { hardware, disks }: { hardware: RestoredHardware; disks: DiskRecord[] },
): Promise<void> {
  const written = await vmRecords.change(id, () => ({ set: { ...hardware, disks, defined: false } }))
  await define(written)
  await countRoom(written)
}

export const attach = (vm: VmRecord, { id, volume }: { id: string; volume: string }) =>
  call(volumesInternal, 'attach', { id, volume, owner: apiPathOf(vm.id), node: vm.node })
export const detach = (vm: VmRecord, { id, volume }: { id: string; volume: string }) =>
  call(volumesInternal, 'detach', { id, volume, owner: apiPathOf(vm.id) })

const slow = { timeoutMs: 60_000 }

/** Swaps the heads of the disks, and has record, definition and firmware follow. */
export async function swapAll(op: Op, restoring: Restoring): Promise<void> {
  const { vm: id, node, snapshot, head, hardware, before, stateKey = snapshot } = restoring
  const vm = await vmRecords.require(id)
  const part = snapshotsOf(vm)
  const named = volumesOf(restoring.disks)
  const swap = (to: 'restored' | 'former') => call(volumeSnapshots, 'swap', { disks: named, node, head, to }, slow)
  await op.step('keeping state', () => part.keepState(vm, head), { undo: () => part.drop(vm, head) })
  const { data } = await op.step('swapping disks', () => swap('restored'), { undo: () => swap('former') })
  const readonly = before.disks.filter((disk) => disk.readonly)
  const disks = [...withVolumes(restoring.disks, data), ...readonly]
  await op.step('recording hardware', () => record(id, { hardware, disks }), { undo: () => record(id, before) })
  await op.step('restoring state', () => part.restoreState(vm, stateKey), { undo: () => part.restoreState(vm, head) })
  for (const { pool, volume } of restoring.added)
    await op.step(`releasing ${pool}/${volume}`, () => detach(vm, { id: pool, volume }), {
      undo: () => attach(vm, { id: pool, volume }),
    })
}

/** Starts the guest with the memory of the snapshot. */
async function startWithMemory(op: Op, { vm: id, snapshot, memory }: Restoring): Promise<void> {
  const vm = await vmRecords.require(id)
  const images = vm.disks.map(({ id: disk, source, format }) => ({ disk, source, format }))
  const start = () => snapshotsOf(vm).restoreMemory(vm, snapshot, images, { paused: memory === 'paused' })
  await op.step('starting with memory', start, { undo: () => driverOf(vm).stop(vm) })
}

export const restore = operation({
  accept: async (params: Params<typeof snapshots, 'restore'>, { hold, operationId }) => {
    await hold(apiPathOf(params.id))
    return planRestore({ ...params, head: operationId })
  },
  run: async (op, restoring: Restoring): Promise<Vm> => {
    const { vm: id, node, snapshot, head, disks, attached } = restoring
    const vm = await vmRecords.require(id)
    const named = volumesOf(disks)
    // The state before an earlier restore that has not started is not kept beside that of now.
    await op.step('ending earlier restore', () => endRestore(id))
    for (const each of attached)
      await op.step(`attaching ${each.id}/${each.volume}`, () => attach(vm, each), { undo: () => detach(vm, each) })
    await op.step('opening heads', () => call(volumeSnapshots, 'open', { disks: named, node, snapshot, head }, slow), {
      undo: () => call(volumeSnapshots, 'discard', { disks: named, node, head }, slow),
    })
    await swapAll(op, restoring)
    if (restoring.memory) await startWithMemory(op, restoring)
    await op.commit()
    await op.step('recording', async () => {
      await putState({ id, current: snapshot, before: restoring.before })
      await noteUse(snapshot)
    })
    if (restoring.memory) await op.step('ending restore', () => endRestore(id))
    const { name = '' } = (await snapshotRecords.get(snapshot)) ?? {}
    op.emit(event('SnapshotRestored', { vm_id: id, snapshot_id: snapshot, name, timestamp: now() }))
    return viewOf(await settleAtEnd(id))
  },
})

/** Takes back the last restore: the heads, hardware and disks of before. Each part of it may be repeated. */
export const undoRestore = operation({
  accept: async ({ id }: Params<typeof snapshots, 'undoRestore'>, { hold }) => {
    await hold(apiPathOf(id))
    requireNoTemplate(await vmRecords.requireForChange(id), 'restore')
    const vm = await settle(id)
    const { before } = await stateOf(id)
    if (!before)
      throw new ConflictError(`Virtual machine '${id}' has no restore that can be undone: its next start ends that`)
    requireStatus(vm, 'undo the restore of', ['stopped'])
    await requireNotSaved(vm, 'undo the restore of')
    const snapshot = await snapshotOf(id, before.snapshot)
    await requireStillFree(
      before.hardware.nics.map(({ mac }) => mac),
      id,
    )
    await requireRoom(vm, { ...vm, ...before.hardware, disks: before.disks }, () => vmRecords.require(id))
    return { id, node: vm.node, before, disks: volumesOf(snapshot.disks) }
  },
  run: async (op, { id, node, before, disks }): Promise<Vm> => {
    const vm = await vmRecords.require(id)
    const part = snapshotsOf(vm)
    const { head } = before
    const had = before.disks.filter(isInPool).map(({ pool, volume }) => ({ id: pool, volume }))
    const isHad = (disk: { id: string; volume: string }) =>
      had.some((each) => each.id === disk.id && each.volume === disk.volume)
    for (const each of had)
      await op.step(`attaching ${each.id}/${each.volume}`, () => attach(vm, each), {
        undo: async () => !disks.some((own) => own.volume === each.volume) && detach(vm, each),
      })
    await op.commit()
    const swap = () => call(volumeSnapshots, 'swap', { disks, node, head, to: 'former' }, slow)
    const { data } = await op.step('swapping disks', swap)
    await op.step('recording hardware', () => record(id, { ...before, disks: withVolumes(before.disks, data) }))
    await op.step('restoring state', () => part.restoreState(vm, head))
    for (const each of disks.filter((disk) => !isHad(disk)))
      await op.step(`releasing ${each.id}/${each.volume}`, () => detach(vm, each))
    await op.step('discarding heads', () => call(volumeSnapshots, 'discard', { disks, node, head }, slow))
    await op.step('forgetting', async () => {
      await part.drop(vm, head)
      await putState({ id, current: before.current })
    })
    return viewOf(await settleAtEnd(id))
  },
})
