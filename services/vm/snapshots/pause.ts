import { Type } from 'typebox'
import { Id, strict, Time } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { UnavailableError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { requirePart } from '../drivers/drivers.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { bootIdOf } from '../state/boot-id.ts'

const sweepEveryMs = 5000

/** Guests that are paused for a snapshot, or may be. Recorded before the pause, so that any replica resumes them. */
const pauses = collection(
  'pauses',
  strict({ id: Id, resumes_at: Time, boot_id: Type.Union([Type.String(), Type.Null()]) }),
  { kind: 'Pause of virtual machine', indexes: [{ fields: { resumes_at: 1 } }] },
)

const powerOf = (vm: VmRecord) =>
  requirePart(vm, 'power', (hypervisor) => `A virtual machine of ${hypervisor} cannot be paused`)

/**
 * Does something to a guest while it is paused, which flushes its disks. The guest of a process that dies is resumed when
 * the time is over; work that takes longer than that is refused, because the guest may have gone on in between.
 * @returns the milliseconds of the pause; 0 for a guest that a caller has paused
 * @throws UnavailableError when the work was too late
 */
export async function whilePaused(vm: VmRecord, limitMs: number, work: () => Promise<unknown>): Promise<number> {
  const isOurs = (await pauses.get(vm.id)) !== null
  if (vm.status === 'paused' && !isOurs) {
    await work()
    return 0
  }
  const power = powerOf(vm)
  const resumesMs = Date.now() + limitMs
  const pause = { resumes_at: new Date(resumesMs).toISOString(), boot_id: await bootIdOf(vm) }
  if (!(await pauses.updateWhere({ _id: vm.id }, { set: pause }))) await pauses.insert({ id: vm.id, ...pause })
  const begunMs = performance.now()
  let endedMs = begunMs
  try {
    await power.pause(vm)
    await work()
    if (Date.now() >= resumesMs)
      throw new UnavailableError(
        `The storage took longer than ${Math.round(limitMs / 1000)} s while '${vm.id}' was paused: the guest was not kept paused any longer`,
      )
  } finally {
    endedMs = await resume(vm)
  }
  return Math.round(endedMs - begunMs)
}

/** Resumes a guest; after a failure the sweep tries again. @returns when it ran again */
async function resume(vm: VmRecord): Promise<number> {
  let endedMs = performance.now()
  try {
    await powerOf(vm).resume(vm)
    endedMs = performance.now()
    await pauses.removeWhere({ _id: vm.id })
  } catch (error) {
    log('vms').warn({ err: error as Error, vm: vm.id }, 'a guest is not resumed yet')
    await pauses.updateWhere({ _id: vm.id }, { set: { resumes_at: new Date().toISOString() } })
  }
  return endedMs
}

type Pause = NonNullable<Awaited<ReturnType<typeof pauses.get>>>

/** Resumes a guest whose time is over; one that has started anew since is not paused by us any more. */
async function end({ id, version, boot_id }: Pause): Promise<void> {
  const vm = await vmRecords.get(id)
  if (vm && (await bootIdOf(vm)) === boot_id) await powerOf(vm).resume(vm)
  await pauses.removeWhere({ _id: id, version })
}

async function sweep(): Promise<void> {
  for (const pause of await pauses.all({ resumes_at: { $lte: new Date().toISOString() } }))
    await end(pause).catch((error: Error) =>
      log('vms').warn({ err: error, vm: pause.id }, 'a guest is not resumed yet'),
    )
}

/** Resumes guests whose time is over, also those that a dead process has paused. @returns a function that stops it */
export const sweepPauses = (): (() => void) =>
  every(sweepEveryMs, sweep, { part: 'vms', failed: 'pauses could not be swept' })
