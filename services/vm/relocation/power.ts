import type { Params } from '#shared/contract/contract.ts'
import type { moves } from '#shared/contracts/vm/moves.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { operation } from '#shared/operation/kinds.ts'
import { driverOf } from '../drivers/drivers.ts'
import { claim } from '../fencing/claim.ts'
import { startDefined } from '../lifecycle/start-domain.ts'
import { waitForStop } from '../lifecycle/wait-for-shutdown.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { settle } from '../state/status.ts'

type Input = Params<typeof moves, 'halt'>

/** Shuts a guest down, by force when it does not listen; one that is off is fine. */
export const halt = operation({
  accept: async (input: Input) => {
    await vmRecords.require(input.id)
    return input
  },
  run: async (op, { id, timeout_seconds }: Input): Promise<null> => {
    const vm = await vmRecords.require(id)
    const isHeard = await op.step('asking the guest', async () => {
      try {
        await driverOf(vm).shutdown(vm)
        return true
      } catch (error) {
        if (error instanceof ConflictError) return false
        throw error
      }
    })
    if (isHeard) await op.step('waiting for the guest', () => waitForStop(vm, timeout_seconds * 1000, op.signal))
    await op.commit()
    await op.step('switching off', () => driverOf(vm).stop(vm))
    await op.step('recording', async () => void (await settle(id)))
    return null
  },
})

/** Starts a guest on a node that may not be the one of its record yet. */
export async function startOn(vm: VmRecord): Promise<void> {
  const recorded = await vmRecords.require(vm.id)
  if (recorded.node === vm.node) return startDefined(recorded)
  await claim(vm)
  try {
    await driverOf(vm).start(vm)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    throw new ConflictError(`Node '${vm.node}' has no definition of '${vm.id}' to start`, { cause: error })
  }
}
