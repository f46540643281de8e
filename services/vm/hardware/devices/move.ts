import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import { nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { isReachedFrom, pools } from '#shared/contracts/storage/pools.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import type { devices } from '#shared/contracts/vm/devices.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { ConflictError, ValidationError, type Violation } from '#shared/errors.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { checking, throwAll } from '#shared/service/violations.ts'
import { requirePart } from '../../drivers/drivers.ts'
import type { CopyTarget } from '../../drivers/parts.ts'
import { requireStorage } from '../../lifecycle/require-storage.ts'
import { apiPathOf, type DiskRecord, type VmRecord, viewOf, vmRecords } from '../../model.ts'
import { define } from '../../snapshots/disks.ts'
import { whilePaused } from '../../snapshots/pause.ts'
import { requireStatus, settle, settleAtEnd } from '../../state/status.ts'
import { requireOwnPlace } from '../foreign.ts'
import { isInPool, type Pooled, unreachedMessage } from '../plan.ts'
import { giveSecrets } from '../secrets.ts'
import { isSameDevice, requireForDevices } from './apply.ts'
import { freeVolume } from './free-volume.ts'
import { diskIn } from './named.ts'

type Moving = {
  id: string
  node: string
  disk: Pooled
  to: Pick<Volume, 'pool' | 'name' | 'format'>
  bytesPerSecond: number | null
  maxPauseSeconds: number
  /** The hypervisor copies the disk; otherwise the storage does. */
  isRunning: boolean
}

const movesOf = (vm: VmRecord) =>
  requirePart(vm, 'moves', (hypervisor) => `${hypervisor} moves no disks of a guest that runs: shut it down first`)

/** The format of the moved disk: the wanted one, else its own where the storage pool has it, else the default there. */
async function formatIn(
  vm: VmRecord,
  disk: Pooled,
  { pool: id, format }: Pick<Params<typeof devices, 'moveDisk'>, 'pool' | 'format'>,
) {
  const violations: Violation[] = []
  const say = (field: string, code: string, message: string) => violations.push({ field, code, message })
  const pool = await checking('pool', violations, () => call(pools, 'get', { id }))
  if (!pool) throw new ValidationError(violations)
  if (!isReachedFrom(pool, vm.node)) say('pool', 'unreachable', unreachedMessage(pool, vm.node))
  if (pool.state !== 'active') say('pool', 'inactive', `'${id}' is not active`)
  const { formats, default_format } = pool.capabilities
  const found = format ?? (formats.includes(disk.format) ? disk.format : default_format)
  if (found === null) say('pool', 'unsupported', 'holds no volumes')
  else if (!formats.includes(found)) say('format', 'unsupported', `the storage pool has only ${formats.join(', ')}`)
  if (id === disk.pool && found === disk.format)
    say('pool', 'same', `the disk is there already, in the format ${disk.format}`)
  throwAll(violations)
  return found!
}

async function accept(given: Params<typeof devices, 'moveDisk'>, accepting: Accepting): Promise<Moving> {
  const { id, disk: named, pool } = given
  await accepting.hold(apiPathOf(id))
  const vm = await requireForDevices(id, 'move a disk of')
  const disk = diskIn(vm, named)
  await requireOwnPlace(vm, disk, 'move')
  requireStorage(accepting, [pool])
  const refuse = (why: string) => new ConflictError(`Disk ${disk.id} of '${id}' ${why}`)
  if (!isInPool(disk)) throw refuse(`is in no storage pool: Horcrux does not move ${nameOfSource(disk.source)}`)
  if (disk.readonly) throw refuse('is read-only: others may read the same volume')
  if (vm.pending.some(({ field }) => field === 'disks'))
    throw refuse('changes with the next start of its guest: restart it first')
  const isRunning = vm.status !== 'stopped'
  if (isRunning) movesOf(vm)
  const format = await formatIn(vm, disk, given)
  await call(volumesInternal, 'requireMovable', { id: disk.pool, volume: disk.volume, owner: apiPathOf(id) })
  return {
    id,
    node: vm.node,
    disk,
    to: { pool, name: await freeVolume(vm, pool, disk.volume), format },
    bytesPerSecond: given.bytes_per_second ?? null,
    maxPauseSeconds: given.max_pause_seconds,
    isRunning,
  }
}

const namesOf = ({ id, node, disk, to }: Moving) =>
  ({ id: disk.pool, volume: disk.volume, ...to, owner: apiPathOf(id), node }) as const

const removeTarget = ({ id, to }: Moving) =>
  call(volumesInternal, 'deleteFor', { id: to.pool, volume: to.name, owner: apiPathOf(id) }, { timeoutMs: 60_000 })

const targetOf = ({ disk }: Moving, { source, format }: Volume): CopyTarget => ({ disk: disk.id, source, format })

/** Has the hypervisor copy the disk of a guest that runs, until both images are the same. */
async function mirror(op: Op, moving: Moving): Promise<Volume> {
  const volume = await op.step(
    'opening target',
    () => call(volumesInternal, 'openMove', namesOf(moving), { timeoutMs: 120_000 }),
    {
      undo: () => removeTarget(moving),
    },
  )
  const target = targetOf(moving, volume)
  const mirroring = async () => {
    const vm = await vmRecords.require(moving.id)
    await giveSecrets({ ...vm, disks: [...vm.disks, { source: volume.source }] })
    await movesOf(vm).begin(vm, target, moving)
    const onProgress = (done: number, total: number) => op.progress(done, total, 'bytes')
    await movesOf(vm).follow(vm, target, { signal: op.signal, onProgress })
  }
  const abort = async () => {
    const vm = await vmRecords.require(moving.id)
    await movesOf(vm).abort(vm, target)
  }
  await op.step('copying', mirroring, { undo: abort })
  return volume
}

/** Copies the disk of a guest that is off. */
const copy = (op: Op, moving: Moving): Promise<Volume> => {
  const { owner, ...names } = namesOf(moving)
  const { bytesPerSecond } = moving
  return op.child(
    volumesInternal,
    'cloneFor',
    {
      ...names,
      owner,
      source_owner: owner,
      mode: 'full',
      ...(bytesPerSecond !== null && { bytes_per_second: bytesPerSecond }),
    },
    { name: 'copying', undo: () => removeTarget(moving) },
  )
}

type Comparing = { is_open: boolean; limit_ms: number }
/** Longest comparison of volumes that no guest waits for. */
const unhurriedMs = 24 * 3_600_000

/** @throws ConflictError when the volumes differ */
function askForComparison(moving: Moving, words: Comparing): Promise<unknown> {
  const { format: _, ...names } = namesOf(moving)
  return call(volumesInternal, 'compareFor', { ...names, ...words }, { timeoutMs: words.limit_ms + 5000 })
}

const compareTries = 3
/** Beyond the comparison: the hypervisor pauses, and resumes. */
const pauseMarginMs = 10_000

/** Compares both volumes while nobody writes to them: the guest is off, or paused, which flushes its images. */
async function compare(op: Op, moving: Moving, volume: Volume): Promise<{ pause_ms: number | null }> {
  const vm = await settle(moving.id)
  const limit_ms = moving.maxPauseSeconds * 1000
  const ask = (words: Comparing) => askForComparison(moving, words)
  if (!moving.isRunning) {
    requireStatus(vm, 'move a disk of', ['stopped'])
    await ask({ is_open: false, limit_ms: unhurriedMs })
    return { pause_ms: null }
  }
  const target = targetOf(moving, volume)
  for (let tried = 1; ; tried++) {
    try {
      const pause_ms = await whilePaused(vm, limit_ms + pauseMarginMs, async () => {
        if (!(await movesOf(vm).isSame(vm, target)))
          throw new ConflictError(`The copy of disk ${moving.disk.id} of '${vm.id}' lags behind the guest`)
        await ask({ is_open: true, limit_ms })
      })
      op.log(`Both volumes of disk ${moving.disk.id} are the same; the guest was paused for ${pause_ms} ms`)
      return { pause_ms }
    } catch (error) {
      // Writes that the hypervisor ended after its flush are in its caches: the next pause flushes them.
      if (!(error instanceof ConflictError) || tried === compareTries) throw error
      await movesOf(vm).follow(vm, target, { signal: op.signal, onProgress: () => undefined })
    }
  }
}

/**
 * Has the guest go on with the new volume. One that went off before that has nothing in it that the former volume lacks, which
 * is verified: a process that died may have switched it over.
 * @returns false when the guest has the former volume
 */
async function switchOver(moving: Moving, volume: Volume): Promise<boolean> {
  const vm = await vmRecords.require(moving.id)
  const isSwitched = await movesOf(vm).finish(vm, targetOf(moving, volume))
  if (isSwitched === null) await askForComparison(moving, { is_open: false, limit_ms: unhurriedMs })
  return isSwitched ?? false
}

/** Has record and definition name the new volume. */
async function record({ id, disk }: Moving, { pool, name: volume, source, format, size_bytes }: Volume): Promise<void> {
  const moved = { pool, volume, source, format, size_bytes }
  const written = await vmRecords.change(id, ({ disks }) => ({
    set: {
      disks: disks.map((each): DiskRecord => (isSameDevice(each, disk) ? { ...each, ...moved } : each)),
      defined: false,
    },
  }))
  await giveSecrets(written)
  await define(written)
}

export const moveDisk = operation({
  accept,
  run: async (op, moving: Moving): Promise<Vm> => {
    const { id, disk } = moving
    const volume = moving.isRunning ? await mirror(op, moving) : await copy(op, moving)
    await op.step('comparing', () => compare(op, moving, volume))
    // The guest writes to the new volume alone from here on: there is no way back.
    await op.commit()
    if (moving.isRunning) {
      const isSwitched = await op.step('switching', () => switchOver(moving, volume))
      if (!isSwitched) {
        await op.step('removing target', () => removeTarget(moving))
        throw new ConflictError(
          `Disk ${disk.id} of '${id}' was not moved: the copy ended before the guest was switched to it, because the guest went off or the storage failed. It has the disk as it was`,
        )
      }
    }
    await op.step('recording', () => record(moving, volume))
    await op.step('deleting former volume', () =>
      call(
        volumesInternal,
        'deleteFor',
        { id: disk.pool, volume: disk.volume, owner: apiPathOf(id) },
        { timeoutMs: 120_000 },
      ),
    )
    return viewOf(await settleAtEnd(id))
  },
})
