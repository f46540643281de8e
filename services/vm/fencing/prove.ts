import { setTimeout as delay } from 'node:timers/promises'
import type { Params } from '#shared/contract/contract.ts'
import type { fencing, Proof } from '#shared/contracts/vm/fencing.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { driverOf } from '../drivers/drivers.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { isReported, leaseOf } from './lease.ts'

const lookEveryMs = 1000
/** Time that the former node gets when no guard decides. */
const nodeMs = 20_000

type Answer = { isOff: boolean; isAsked: boolean; why: string }

/** Switches the guest off on its former node, and asks again until the node says that it is off, nobody waits, or the time is over. */
async function askNode(vm: VmRecord, answer: Answer, withinMs: number): Promise<void> {
  const driver = driverOf(vm)
  const begin = performance.now()
  while (answer.isAsked && !answer.isOff && performance.now() - begin < withinMs) {
    try {
      await driver.stop(vm)
      answer.isOff = (await driver.status(vm)).status === 'stopped'
    } catch (error) {
      answer.why = error instanceof Error ? error.message : String(error)
      if (!(error instanceof AppError)) return
    }
    if (!answer.isOff) await delay(lookEveryMs)
  }
}

/** Time after which the guard of a guest has ended it; null for one whose guard decides nothing. */
function deadlineOf(vm: VmRecord, isAccepted: boolean): number | null {
  if (!isAccepted || !vm.ha?.is_guarded || !leaseOf(vm)) return null
  return driverOf(vm).guards?.deadlineMs ?? null
}

/**
 * Waits for evidence that the guest does not run on the node of its record, whose epoch was raised before. All times are those
 * of this process's monotonic clock, counted from now: a repetition waits anew.
 * @throws ConflictError, UnavailableError when there is none: nothing may be started
 */
export async function prove({
  id,
  target,
  is_confirmed,
  accepts_deadline,
}: Params<typeof fencing, 'prove'>): Promise<Proof> {
  const vm = await vmRecords.require(id)
  // A repetition after the record has moved: the evidence was there.
  if (vm.ha?.is_fencing !== true) return 'node'
  if (is_confirmed) return 'confirmed'
  const lease = vm.node === target ? null : leaseOf(vm)
  const deadlineMs = deadlineOf(vm, accepts_deadline && vm.node !== target)
  const begin = performance.now()
  const answer: Answer = { isOff: false, isAsked: true, why: 'it has not answered yet' }
  void askNode(vm, answer, deadlineMs ?? nodeMs)
  try {
    for (;;) {
      await requireCurrent()
      if (answer.isOff) return 'node'
      if (lease && (await reports(target, lease, vm.node))) return 'guard'
      const elapsed = performance.now() - begin
      if (deadlineMs !== null && elapsed >= deadlineMs) return 'deadline'
      if (deadlineMs === null && elapsed >= nodeMs)
        throw new ConflictError(
          `Nothing proves that node '${vm.node}' does not run the guest of '${id}' (${answer.why}): switch the node off, then POST /api/ha/nodes/${vm.node}/confirm-off`,
          { details: { node: vm.node } },
        )
      await delay(lookEveryMs)
    }
  } finally {
    answer.isAsked = false
  }
}

/** The guard's report, as the node that takes over reads it; false when it cannot. */
async function reports(...[by, lease, node]: Parameters<typeof isReported>): Promise<boolean> {
  try {
    return await isReported(by, lease, node)
  } catch (error) {
    if (error instanceof UnavailableError) return false
    throw error
  }
}
