import { call } from '#shared/bus/call.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { alreadyExists, ConflictError, invalid } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { requireNoForeign } from '../hardware/foreign.ts'
import { isInPool, type Pooled } from '../hardware/plan.ts'
import { requireNoTemplate } from '../lifecycle/template-checks.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { judgeFor } from '../quotas/judge.ts'
import { cancel, reserve } from '../quotas/reserve.ts'
import type { Wanted } from '../quotas/usage.ts'
import { requireNotSaved } from '../state/saved.ts'
import { requireStatus, settle } from '../state/status.ts'
import { followVolumes, measured } from './disks.ts'
import { configOf, nextSequence, putState, snapshotRecords, stateOf, viewOf, volumesOf } from './model.ts'
import { forgetSize, noteSize } from './sizes.ts'
import { snapshotsOf, type Taking } from './taking.ts'
import { dropAll, taken, undoTaking } from './take.ts'

const MiB = 2 ** 20

/** The disks that a guest can write, all in storage pools. @throws ConflictError */
function writtenDisks(vm: VmRecord): Pooled[] {
  const written = vm.disks.filter(({ readonly }) => !readonly)
  const loose = written.filter((disk) => !isInPool(disk))
  if (loose.length > 0)
    throw new ConflictError(
      `Virtual machine '${vm.id}' has disks outside every storage pool, of which no snapshot can be taken: ${loose.map(({ id }) => id).join(', ')}`,
    )
  return written.filter(isInPool)
}

type Held = Result<typeof volumeSnapshots, 'foresee'>['held']

/**
 * @returns the bytes that the snapshot holds at once in each volume
 * @throws ConflictError naming every disk and storage pool that a snapshot is impossible in
 */
async function requirePossible({ id, node }: VmRecord, disks: Pooled[]): Promise<Held> {
  const { obstacles, held } = await call(
    volumeSnapshots,
    'foresee',
    { disks: volumesOf(disks), node, owner: apiPathOf(id) },
    { timeoutMs: 30_000 },
  )
  if (obstacles.length === 0) return held
  const reasons = obstacles.map((each) => {
    const disk = disks.find(({ pool, volume }) => `${pool}/${volume}` === each.id)
    return `${disk?.id ?? each.id}: ${each.reason}`
  })
  throw new ConflictError(`No snapshot of virtual machine '${id}' is possible: ${reasons.join('; ')}`, {
    details: { obstacles },
  })
}

/**
 * Checks a snapshot completely, and reserves its room in quotas.
 * @param without snapshots that the same operation deletes afterwards
 */
export async function plan(
  { id, name, description, include_memory }: Params<typeof snapshots, 'create'>,
  schedule: string | null,
  { hold, operationId }: Pick<Accepting, 'hold' | 'operationId'>,
  without: string[] = [],
): Promise<Taking> {
  await hold(apiPathOf(id))
  requireNoTemplate(await vmRecords.requireForChange(id), 'take a snapshot of')
  const vm = await settle(id)
  requireStatus(vm, 'take a snapshot of', ['running', 'paused', 'stopped'])
  snapshotsOf(vm)
  if (vm.status === 'stopped') await requireNotSaved(vm, 'take a snapshot of')
  if (include_memory && vm.status === 'stopped')
    throw invalid('include_memory', `Virtual machine '${id}' is off: it has no memory`, 'contradiction')
  if (await snapshotRecords.find({ vm_id: id, name })) throw alreadyExists(name, { field: 'name' })
  if (vm.pending.some(({ field }) => field === 'disks'))
    throw new ConflictError(
      `Virtual machine '${id}' has other disks from its next start on: restart it first, or take the change back`,
    )
  if ((await stateOf(id)).before)
    throw new ConflictError(
      `Virtual machine '${id}' was restored and has not started since: start it, or undo the restore with POST ${apiPathOf(id)}/restore/undo`,
    )
  await requireNoForeign(vm, 'take a snapshot of')
  const disks = writtenDisks(vm)
  if (disks.length === 0 && !include_memory)
    throw new ConflictError(`Virtual machine '${id}' has no disk that it writes`)
  const held = await requirePossible(vm, disks)
  const snapshot = newId()
  const bytesOf = ({ pool, volume }: Pooled) => held.find((each) => each.id === `${pool}/${volume}`)?.bytes ?? 0
  const wanted: Wanted = {
    id: snapshot,
    vm_id: id,
    memory_bytes: include_memory ? vm.memory * MiB : 0,
    disks: disks.map((disk) => ({ pool: disk.pool, bytes: bytesOf(disk) })),
  }
  await reserve(wanted, { by: operationId, without })
  return {
    vm: id,
    node: vm.node,
    snapshot,
    name,
    description,
    schedule,
    includeMemory: include_memory,
    wanted,
    without,
    disks: disks.map(({ id: place, pool, volume, format, size_bytes, device_id, bus, cache }) => {
      const held = { held_bytes: null, freed_bytes: null }
      return { id: place, pool, volume, format, size_bytes, device_id, bus, cache, ...held }
    }),
  }
}

/** Writes the record of a snapshot that is about to be taken. */
async function register(op: Op, taking: Taking): Promise<void> {
  const { vm: id, snapshot, name, description, schedule, disks, wanted, without = [] } = taking
  const known = await snapshotRecords.get(snapshot)
  if (known) return noteSize(known)
  // The reservation of the request may have ended meanwhile.
  if (wanted) await reserve(wanted, { by: op.id, without })
  const vm = await vmRecords.require(id)
  const at = now()
  const made = await snapshotRecords.insert({
    id: snapshot,
    vm_id: id,
    name,
    description,
    state: 'creating',
    parent_id: (await stateOf(id)).current,
    schedule_id: schedule,
    consistency: null,
    vm_status: null,
    pause_ms: null,
    frozen_filesystems: null,
    disks,
    config: configOf(vm),
    size_bytes: null,
    memory_bytes: null,
    has_variables: false,
    has_tpm: false,
    measured_at: null,
    protected: false,
    sequence: await nextSequence(),
    uses: 0,
    last_used_at: null,
    created_at: at,
    updated_at: at,
  })
  await noteSize(made)
}

export async function run(op: Op, taking: Taking): Promise<Snapshot> {
  const { vm, node, snapshot, disks } = taking
  await op.step('recording', () => register(op, taking), {
    undo: async () => {
      await snapshotRecords.removeWhere({ _id: snapshot })
      await forgetSize(vm, snapshot)
      await cancel(snapshot)
    },
  })
  await op.step('keeping state', async () => undefined, { undo: () => dropAll(taking) })
  const facts = await op.step('taking', () => taken(op, taking), { undo: () => undoTaking(taking) })
  // The guest writes to the new images by now.
  await op.commit()
  const sizes = await op.step('following disks', async () => {
    const volumes = await call(volumeSnapshots, 'settle', { disks: volumesOf(disks), node, snapshot })
    const [found] = await Promise.all([
      measured({ ...(await snapshotRecords.require(snapshot)), ...facts }, node),
      followVolumes(vm, volumes.data),
    ])
    const { disks: sized, size_bytes, measured_at } = found
    return { disks: sized, size_bytes, measured_at }
  })
  await op.step('recording result', async () => {
    const ready = await snapshotRecords.updateWhere({ _id: snapshot }, { set: { ...facts, ...sizes, state: 'ready' } })
    if (ready) await noteSize(ready)
    await putState({ id: vm, current: snapshot })
    await cancel(snapshot)
    await judgeFor({ vm_id: vm, disks })
  })
  op.emit(event('SnapshotCreated', { vm_id: vm, snapshot_id: snapshot, name: taking.name, timestamp: now() }))
  return viewOf(await snapshotRecords.require(snapshot), (await stateOf(vm)).current)
}

export const create = operation({
  accept: (given: Params<typeof snapshots, 'create'>, accepting) => plan(given, null, accepting),
  run,
})
