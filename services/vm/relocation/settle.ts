import type { Params, Result } from '#shared/contract/contract.ts'
import type { moves } from '#shared/contracts/vm/moves.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { driverOf, requirePart } from '../drivers/drivers.ts'
import { judge, type Sides } from '../drivers/relocation.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { movesOf } from './target.ts'

type Settled = Result<typeof moves, 'settle'>
const sidesIn = ({ source, target }: Sides) => `source: ${source}, target: ${target}`

/** An interrupted post-copy is tried for so long before it is told of. Milliseconds. */
const reuniteMs = 30_000
const usualMib = 100

/** Has a guest that is split come together on the target. @throws UnavailableError when it does not, with the reason */
async function reunite(vm: VmRecord, target: string): Promise<void> {
  const how = { target, bandwidthMib: vm.moving?.post_copy?.bandwidth_mib ?? usualMib }
  try {
    await movesOf(vm).reunite(vm, how, reuniteMs)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    throw new UnavailableError(
      `The guest of '${vm.id}' is in post-copy: '${vm.node}' and '${target}' each have a part of its memory, and neither may be ended. It goes on when '${target}' gets the rest from '${vm.node}' (${error.message})`,
      { cause: error },
    )
  }
}

/** Ends a guest at a node that must not run it; there it has only been received, and has never run. */
async function clear(vm: VmRecord, node: string): Promise<void> {
  await driverOf(vm).stop({ ...vm, node })
}

/**
 * Finds out where a guest is after a move that has ended in any way, and clears the other node. The source goes on only
 * when the target is known not to run the guest. A post-copy is resumed.
 * @throws UnavailableError while that is not known: nothing was touched. ConflictError when the guest has ended itself, or runs
 *   on both nodes
 */
export async function settleMove({ id, target, is_paused }: Params<typeof moves, 'settle'>): Promise<Settled> {
  const vm = await vmRecords.require(id)
  if (vm.node === target) return { is_at: 'target' }
  const part = movesOf(vm)
  const before = await part.sides(vm, target)
  // The hypervisor may still be sending, although the process that began it is gone.
  if (before.source === 'running' || before.source === 'paused') await part.abort(vm)
  const sides = await part.sides(vm, target)
  switch (judge(sides)) {
    case 'moved':
      return { is_at: 'target' }
    case 'stays':
      // A target that does not answer has an incoming guest at most; it is cleared by a sweep.
      if (sides.target !== 'unknown') await clear(vm, target)
      return { is_at: 'source' }
    case 'resume': {
      await clear(vm, target)
      // Both are read once more, now that the target can only be off.
      const after = await part.sides(vm, target)
      if (judge(after) !== 'resume') return settleMove({ id, target, is_paused })
      const power = requirePart(vm, 'power', (hypervisor) => `A guest of ${hypervisor} cannot be resumed`)
      if (!is_paused) await power.resume(vm)
      return { is_at: 'source' }
    }
    case 'ended':
      await clear(vm, target)
      return { is_at: 'source' }
    case 'wait':
      throw new UnavailableError(
        `It is not known which node has the guest of '${id}' (${sidesIn(sides)}): nothing is started or resumed until both '${vm.node}' and '${target}' answer`,
        { details: sides },
      )
    case 'split':
      await reunite(vm, target)
      return settleMove({ id, target, is_paused })
    case 'torn':
      throw new ConflictError(
        `The guest of '${id}' was in post-copy between '${vm.node}' and '${target}', and one of them has lost its part (${sidesIn(sides)}): its memory is gone. Destroy what is left of it by hand (virsh destroy), then roll the migration back and start it`,
        { details: sides },
      )
    case 'double':
      throw new ConflictError(
        `The guest of '${id}' runs on '${vm.node}' and on '${target}': end one of the two by hand before anything else`,
        { details: sides },
      )
  }
}
