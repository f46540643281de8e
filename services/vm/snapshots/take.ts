import { call } from '#shared/bus/call.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { thawProblem, whileFrozen } from '../guest-agent/freeze.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { settle } from '../state/status.ts'
import { snapshotsOf, type Taking } from './taking.ts'
import { imagesOf } from './disks.ts'
import { type SnapshotRecord, volumesOf } from './model.ts'
import { whilePaused } from './pause.ts'

/** Limit of the pause for the disks. */
const pauseLimitMs = 20_000
/** Slowest writing of memory that is waited for. */
const slowestMibPerSecond = 10

/** Limit of an undo that merges what a guest has written since. */
const undoLimitMs = 600_000

/** Facts of a snapshot that was taken. */
type Facts = Pick<
  SnapshotRecord,
  'consistency' | 'vm_status' | 'pause_ms' | 'frozen_filesystems' | 'memory_bytes' | 'has_variables' | 'has_tpm'
>

const headsOf = ({ vm, node, snapshot, disks }: Taking, moment: 'storage' | 'hypervisor') =>
  call(
    volumeSnapshots,
    'take',
    { disks: volumesOf(disks), node, owner: apiPathOf(vm), snapshot, moment },
    { timeoutMs: 60_000 },
  )

type Heads = Awaited<ReturnType<typeof headsOf>>['heads']
/** All that is ready before the moment. `hasState`: there is state beside the disks that changes while the guest runs. */
type Ready = { heads: Heads; hasState: boolean }

/** Takes all that makes the moment; the guest is paused, or off. */
async function atOneMoment(vm: VmRecord, taking: Taking, { heads, hasState }: Ready) {
  const part = snapshotsOf(vm)
  const isOff = vm.status === 'stopped'
  const memory_bytes = taking.includeMemory ? await part.saveMemory(vm, taking.snapshot) : null
  await requireCurrent()
  const hasMore = heads.length < taking.disks.length
  const [kept] = await Promise.all([
    hasState ? part.keepState(vm, taking.snapshot) : { has_variables: false, has_tpm: false },
    hasMore && headsOf(taking, 'storage'),
  ])
  // Last: from here on the guest writes to other images, which is not undone by a failure of another storage pool.
  await requireCurrent()
  if (!isOff && heads.length > 0) await part.switchDisks(vm, imagesOf(taking.disks, heads))
  return { memory_bytes, has_variables: kept.has_variables, has_tpm: kept.has_tpm }
}

/** @throws ConflictError for a guest that was started or stopped since the request */
function requireStill(vm: VmRecord, { includeMemory }: Taking): void {
  if (vm.status === 'unknown' || (includeMemory && vm.status === 'stopped'))
    throw new ConflictError(`Virtual machine '${vm.id}' is ${vm.status} by now: its snapshot was not taken`)
}

/**
 * Finds what a process that died has done of the same snapshot. A guest that has switched to the new images has passed the
 * moment, and all else was kept before; otherwise all is taken anew, so that memory and disks are of one moment.
 */
async function ofEarlierTry(vm: VmRecord, taking: Taking): Promise<Facts | null> {
  const part = snapshotsOf(vm)
  const disks = volumesOf(taking.disks)
  const words = { disks, node: vm.node, snapshot: taking.snapshot }
  const { heads, is_begun } = await call(volumeSnapshots, 'heads', words)
  if (heads.length > 0 && (await part.isSwitched(vm, imagesOf(taking.disks, heads)))) {
    const { memory_bytes, has_variables, has_tpm } = await part.kept(vm, taking.snapshot)
    const consistency = memory_bytes === null ? 'crash' : 'memory'
    const facts = { memory_bytes, has_variables, has_tpm, pause_ms: null, frozen_filesystems: null }
    return { ...facts, consistency, vm_status: vm.status === 'paused' ? 'paused' : 'running' }
  }
  if (is_begun) await call(volumeSnapshots, 'drop', words, { timeoutMs: 60_000 })
  return null
}

/** Takes a snapshot of all disks at one moment. Repeated, it is of a later moment unless the guest had switched. */
export async function taken(op: Op, taking: Taking): Promise<Facts> {
  const vm = await settle(taking.vm)
  requireStill(vm, taking)
  const earlier = await ofEarlierTry(vm, taking)
  if (earlier) return earlier
  const [{ heads }, hasState] = await Promise.all([
    headsOf(taking, 'hypervisor'),
    snapshotsOf(vm).keepDefinition(vm, taking.snapshot),
  ])
  const ready = { heads, hasState }
  if (vm.status === 'stopped') {
    const facts = await atOneMoment(vm, taking, ready)
    return { ...facts, consistency: null, vm_status: 'stopped', pause_ms: null, frozen_filesystems: null }
  }
  let facts: Awaited<ReturnType<typeof atOneMoment>> | undefined
  let pause_ms = 0
  const limitMs = pauseLimitMs + (taking.includeMemory ? (vm.memory / slowestMibPerSecond) * 1000 : 0)
  const pause = async () => {
    pause_ms = await whilePaused(vm, limitMs, async () => {
      facts = await atOneMoment(vm, taking, ready)
    })
  }
  // Memory has the state of every file system in it.
  const frozen = taking.includeMemory ? await pause().then(() => null) : await whileFrozen(vm, pause)
  const consistency = frozen?.consistency ?? 'memory'
  op.log(
    `Snapshot '${taking.name}' of '${taking.vm}': ${consistency} consistency; the guest was paused for ${pause_ms} ms`,
  )
  if (frozen?.problem) op.log(thawProblem(taking.vm, frozen.problem))
  return {
    ...facts!,
    consistency,
    vm_status: vm.status === 'paused' ? 'paused' : 'running',
    pause_ms,
    frozen_filesystems: frozen?.filesystems ?? 0,
  }
}

/** Undoes the taking. Images that a guest has switched to are merged back into those below. */
export async function undoTaking(taking: Taking): Promise<void> {
  const { vm: id, node, snapshot, disks } = taking
  const vm = await vmRecords.require(id)
  const part = snapshotsOf(vm)
  const how = { signal: AbortSignal.timeout(undoLimitMs) }
  const { heads } = await call(volumeSnapshots, 'heads', { disks: volumesOf(disks), node, snapshot })
  const images = imagesOf(disks, heads)
  if (images.length > 0 && (await part.isSwitched(vm, images)))
    for (const image of images) {
      const disk = vm.disks.find((each) => each.id === image.disk)
      if (disk) await part.merge(vm, { disk: disk.id, top: image.source, base: disk.source }, how)
    }
  await call(volumeSnapshots, 'drop', { disks: volumesOf(disks), node, snapshot }, { timeoutMs: 60_000 })
}

/** Removes all that is kept of a snapshot beside its disks. */
export async function dropAll({ vm: id, snapshot }: Pick<Taking, 'vm' | 'snapshot'>): Promise<void> {
  const vm = await vmRecords.get(id)
  if (vm) await snapshotsOf(vm).drop(vm, snapshot)
}
