import { setTimeout as delay } from 'node:timers/promises'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { moves } from '#shared/contracts/vm/moves.ts'
import { AppError, CancelledError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { vmRecords } from '../model.ts'
import { statusNow } from '../state/status.ts'
import { watchConvergence } from './convergence.ts'
import { settleMove } from './settle.ts'
import { disksAt, filesAt, movedDisks, movesOf } from './target.ts'

type Input = Params<typeof moves, 'transfer'>
type Numbers = Result<typeof moves, 'transfer'>

const mib = (bytes: number) => Math.round(bytes / 2 ** 20)

const doesNotConverge = (
  { id, target, auto_converge, bandwidth_mib, max_downtime_ms }: Input,
  { ram_remaining_bytes: left, iteration }: NonNullable<Numbers>,
) =>
  new ConflictError(
    `The guest of '${id}' writes faster than it can be sent to '${target}' at ${bandwidth_mib} MiB/s: after ${iteration} iterations ${mib(left)} MiB are left, too many for a pause of ${max_downtime_ms} ms. Use ${auto_converge ? '' : 'auto_converge, '}more bandwidth, or offline`,
  )

/** Time between two events of a move's progress. */
const tellEveryMs = 1000
const progressOf = (vm_id: string, transferred_bytes: number, total_bytes: number) => ({
  vm_id,
  progress: total_bytes === 0 ? 0 : Math.round((transferred_bytes / total_bytes) * 100),
  transferred_bytes,
  total_bytes,
  timestamp: now(),
})

/** A guest that is split is waited for so long, before somebody has to look after it. Milliseconds. */
const splitMs = 600_000

/** As {@link settleMove}, with more patience for a guest that is in post-copy: nothing else can be done for it. */
async function settlePatiently(op: Op, doubt: Parameters<typeof settleMove>[0]): ReturnType<typeof settleMove> {
  const deadline = Date.now() + splitMs
  for (let told = ''; ;) {
    try {
      return await settleMove(doubt)
    } catch (error) {
      const isSplit = (await vmRecords.require(doubt.id)).moving?.post_copy !== undefined
      if (!(error instanceof UnavailableError) || !isSplit || Date.now() > deadline) throw error
      if (op.signal.aborted) throw op.signal.reason
      if (told !== error.message) op.log(error.message)
      told = error.message
      await delay(retryEveryMs)
    }
  }
}
const retryEveryMs = 1000

/** Notes that a move goes over to post-copy, before it does: from here on nothing can be cancelled, undone or cleared. */
async function switchToPostCopy(op: Op, { id, target, bandwidth_mib }: Input, numbers: NonNullable<Numbers>) {
  await op.commit()
  const { moving } = await vmRecords.require(id)
  if (!moving) throw new ConflictError(`The record of '${id}' has changed meanwhile`)
  await vmRecords.change(id, () => ({
    set: { moving: { ...moving, post_copy: { at: now(), bandwidth_mib, numbers } } },
  }))
  op.log(
    `After ${numbers.iteration} iterations ${mib(numbers.ram_remaining_bytes)} MiB are left, too many for a pause: '${target}' runs the guest from now on, and the rest of its memory follows (post-copy). It cannot be cancelled any more`,
  )
}

/** Moves a guest, and is sure of the outcome. Repeated after a crash, it first finds out where the guest is. */
async function moveNow(op: Op, input: Input): Promise<'moved'> {
  const { id, target, is_paused } = input
  const doubt = { id, target, is_paused }
  if ((await settlePatiently(op, doubt)).is_at === 'target') return 'moved'
  op.signal.throwIfAborted()
  const vm = await vmRecords.require(id)
  const disks = await disksAt(vm, target, input.disks)
  const how = {
    target,
    disks: movedDisks(disks, input.disks),
    files: await filesAt(vm, target),
    bandwidthMib: input.bandwidth_mib,
    autoConverge: input.auto_converge,
    mayPostCopy: input.post_copy === true,
    maxDowntimeMs: input.max_downtime_ms,
  }
  const total =
    vm.memory * 2 ** 20 +
    vm.disks
      .filter((disk) => input.disks.some((each) => each.is_copied && each.id === disk.id))
      .reduce((sum, { size_bytes }) => sum + size_bytes, 0)
  const hasStalled = watchConvergence(input.auto_converge)
  const [stalled, postCopy] = [new AbortController(), new AbortController()]
  let isSwitching = false
  let toldAt = 0
  const onProgress = (numbers: NonNullable<Numbers>) => {
    const { ram_total_bytes: ram, ram_remaining_bytes: left, disk_transferred_bytes: disk } = numbers
    const transferred = Math.min(total, Math.max(0, ram - left) + disk)
    op.progress(transferred, total, 'bytes')
    if (Date.now() - toldAt >= tellEveryMs) {
      toldAt = Date.now()
      op.emit(event('MigrationProgress', progressOf(id, transferred, total)))
    }
    if (isSwitching || !hasStalled(numbers)) return
    if (!input.post_copy) return stalled.abort(doesNotConverge(input, numbers))
    isSwitching = true
    switchToPostCopy(op, input, numbers).then(
      () => postCopy.abort(),
      (error: unknown) => stalled.abort(error),
    )
  }
  let why: unknown
  try {
    const signal = AbortSignal.any([op.signal, stalled.signal])
    await movesOf(vm).move(vm, how, { signal, postCopy: postCopy.signal, onProgress })
  } catch (error) {
    why = error
  }
  if ((await settlePatiently(op, doubt)).is_at === 'target') {
    if (why)
      log('moves').warn({ err: why as Error, vm_id: id }, 'the guest has moved although its move ended with an error')
    return 'moved'
  }
  if (op.signal.aborted) throw op.signal.reason instanceof CancelledError ? op.signal.reason : new CancelledError()
  if (stalled.signal.aborted) throw stalled.signal.reason
  const { status } = await statusNow(vm)
  if (status === 'stopped')
    throw new ConflictError(`The guest of '${id}' shut itself down during its move: it is off, on '${vm.node}'`)
  throw why instanceof AppError && !(why instanceof ConflictError)
    ? why
    : new ConflictError(
        `The guest of '${id}' did not move to '${target}': ${(why as Error | undefined)?.message ?? 'unknown reason'}`,
        { cause: why },
      )
}

/** Moves a guest. Once it is on the target, the operation can only succeed: a cancellation comes too late. */
async function transferNow(op: Op, input: Input): Promise<Numbers> {
  await moveNow(op, input)
  await op.commit().catch((error: unknown) => {
    if (!(error instanceof CancelledError)) throw error
  })
  const vm = await vmRecords.require(input.id)
  // The move is what counts.
  const measured = await movesOf(vm)
    .measured({ ...vm, node: input.target })
    .catch(() => null)
  const { post_copy } = vm.moving ?? {}
  // The hypervisor has forgotten the numbers of one that was resumed.
  const known = post_copy ? { ...post_copy.numbers, downtime_ms: null, elapsed_ms: null } : null
  const numbers = measured ?? known
  return numbers && { ...numbers, post_copy_at: post_copy?.at ?? null }
}

export const transfer = operation({
  accept: async (input: Input) => {
    await vmRecords.require(input.id)
    return input
  },
  run: (op, input): Promise<Numbers> => op.step('moving guest', () => transferNow(op, input)),
})
