import { call } from '#shared/bus/call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { moves, type MoveProgress } from '#shared/contracts/vm/moves.ts'
import { AppError, ConflictError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { vmPath } from '../plan/plan.ts'
import { maxPauseMs } from '../forecast/forecast.ts'
import type { Input } from './input.ts'

type Before = Result<typeof moves, 'begin'>

/** Makes an empty volume for each disk that is copied. Undone with the migration. */
async function makeDisks(op: Op, { vm_id, target_node: node, disks }: Input): Promise<void> {
  const owner = vmPath(vm_id)
  for (const { id: place, source_pool, source_volume, pool: id, volume: name, format, is_copied } of disks) {
    if (!is_copied) continue
    await op.step(`making disk ${place}`, async () => {
      const { size_bytes: size } = await call(volumes, 'get', { id: source_pool, volume: source_volume })
      await call(volumesInternal, 'createFor', { id, name, size, format, owner, node }, { timeoutMs: 60_000 })
      return null
    })
  }
}

/** Moves a guest that runs, or is paused. @returns its numbers */
export async function moveRunning(op: Op, input: Input, before: Before): Promise<MoveProgress | null> {
  const { vm_id: id, target_node: target, disks, migration_type } = input
  if (before.is_off)
    throw new ConflictError(`Virtual machine '${id}' was switched off before its move began: use offline`)
  await makeDisks(op, input)
  return op.child(moves, 'transfer', {
    id,
    target,
    disks,
    is_paused: before.is_paused,
    bandwidth_mib: input.bandwidth_limit,
    auto_converge: input.auto_converge,
    post_copy: input.post_copy === 'when_not_converging',
    max_downtime_ms: maxPauseMs[migration_type === 'online' ? 'online' : 'live'],
  })
}

/** Moves a guest while it is off: stops it if it runs, copies its disks, defines it on the target. */
export async function moveOff(op: Op, input: Input, before: Before): Promise<null> {
  const { vm_id: id, source_node, target_node: target, disks, bandwidth_limit } = input
  const owner = vmPath(id)
  if (!before.is_off) await op.child(moves, 'halt', { id, timeout_seconds: input.shutdown_timeout })
  await makeDisks(op, input)
  for (const { id: place, source_pool, source_volume, pool, volume, is_copied } of disks) {
    if (!is_copied) continue
    const from = { id: source_pool, volume: source_volume, owner, node: source_node }
    const to = { id: pool, volume, owner, node: target }
    const bytes_per_second = bandwidth_limit * 2 ** 20
    await op.child(volumesInternal, 'copyAcross', { from, to, bytes_per_second }, { name: `copying disk ${place}` })
  }
  await op.step('defining on target', () => call(moves, 'carry', { id, target, disks }, { timeoutMs: 60_000 }))
  return null
}

/** Starts a guest on the target that was stopped for its move. @returns the refusal of the target, in its words */
export async function startOnTarget(
  { vm_id: id, target_node: node }: Input,
  { is_paused }: Before,
): Promise<string | null> {
  try {
    await call(moves, 'start', { id, node, is_paused }, { timeoutMs: 90_000 })
    return null
  } catch (error) {
    if (!(error instanceof AppError) || error.retryable || error.status === 503) throw error
    return error.message
  }
}
