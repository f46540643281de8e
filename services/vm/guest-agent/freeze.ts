import { Type } from 'typebox'
import { Id, strict, Time } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { renameFields } from '#shared/db/rename-fields.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { driverOf, requirePart } from '../drivers/drivers.ts'
import type { Agent } from '../drivers/parts.ts'
import { apiPathOf, type VmRecord, vmRecords } from '../model.ts'
import { bootIdOf } from '../state/boot-id.ts'
import { requireStatus, settle } from '../state/status.ts'

/** The process that froze a guest sweeps when the time is over; the others, in case it has died. */
const sweepEveryMs = 5000

/** Guests that are frozen or may be. Recorded before a freeze, so that the sweep thaws the guest after a crash. */
const freezes = collection(
  'freezes',
  strict({ id: Id, thaws_at: Time, boot_id: Type.Union([Type.String(), Type.Null()]) }),
  {
    kind: 'Freeze of virtual machine',
    indexes: [{ fields: { thaws_at: 1 } }],
    migrate: renameFields({ run: 'boot_id' }),
  },
)

export const thawsAt = async (id: string) => (await freezes.get(id))?.thaws_at ?? null

/** A guest that runs, and the agent in it. @throws ConflictError */
async function requireAgent(id: string): Promise<{ vm: VmRecord; agent: Agent }> {
  const vm = await settle(id)
  requireStatus(vm, 'ask the agent of', ['running'])
  const agent = requirePart(vm, 'agent', (hypervisor) => `Horcrux does not reach the agents in guests of ${hypervisor}`)
  return { vm, agent }
}

/** Freezes a guest until it is thawed, at the latest after so many seconds; a second call counts them anew. */
export async function freeze(id: string, seconds: number) {
  await vmRecords.requireForChange(id)
  await requireFree(apiPathOf(id))
  const { vm, agent } = await requireAgent(id)
  const { connected, reason } = await agent.view(vm)
  if (!connected) throw new ConflictError(`No agent answers in the guest of '${id}': ${reason}`)
  const thaws_at = new Date(Date.now() + seconds * 1000).toISOString()
  await write(id, { thaws_at, boot_id: await bootIdOf(vm) })
  try {
    return { vm_id: id, filesystems: await agent.freeze(vm), thaws_at }
  } catch (error) {
    // It may have frozen some file systems: the sweep thaws them now.
    await thawSoon(id)
    throw error
  }
}

async function write(id: string, freeze: { thaws_at: string; boot_id: string | null }): Promise<void> {
  sweepAt(Date.parse(freeze.thaws_at))
  if (!(await freezes.updateWhere({ _id: id }, { set: freeze }))) await freezes.insert({ id, ...freeze })
}

export async function thaw(id: string) {
  await vmRecords.requireForChange(id)
  const { vm, agent } = await requireAgent(id)
  const filesystems = await agent.thaw(vm)
  await freezes.removeWhere({ _id: id })
  return { vm_id: id, filesystems, thaws_at: null }
}

/** Consistency of a copy of a running guest: of frozen file systems, or as after a power cut. */
export type Consistency = 'filesystem' | 'crash'
export type Frozen = { consistency: Consistency; filesystems: number }

/** Limit of a freeze for a copy, in case this process dies. */
const copySeconds = 20

/**
 * Does something short to a guest while its file systems are frozen; without an agent that answers, while they are not.
 * File systems that another caller has frozen stay frozen.
 */
export async function whileFrozen(vm: VmRecord, work: () => Promise<unknown>): Promise<Frozen> {
  const { agent } = driverOf(vm)
  const view = vm.status === 'running' ? await agent?.view(vm) : undefined
  if (!agent || !view?.connected) {
    await work()
    return { consistency: 'crash', filesystems: 0 }
  }
  if (view.frozen) {
    await work()
    return { consistency: (await agent.view(vm)).frozen ? 'filesystem' : 'crash', filesystems: 0 }
  }
  const thawsMs = Date.now() + copySeconds * 1000
  await write(vm.id, { thaws_at: new Date(thawsMs).toISOString(), boot_id: await bootIdOf(vm) })
  try {
    const filesystems = await triedToFreeze(vm, agent)
    await work()
    return { consistency: filesystems > 0 && Date.now() < thawsMs ? 'filesystem' : 'crash', filesystems }
  } finally {
    await thawNow(vm, agent)
  }
}

async function triedToFreeze(vm: VmRecord, agent: Agent): Promise<number> {
  try {
    return await agent.freeze(vm)
  } catch (error) {
    if (error instanceof UnavailableError || !(error instanceof AppError)) throw error
    log('vms').info({ err: error, vm: vm.id }, 'a guest was not frozen for its copy')
    return 0
  }
}

/** Thaws a guest; after a failure the sweep tries again. */
async function thawNow(vm: VmRecord, agent: Agent): Promise<void> {
  try {
    await agent.thaw(vm)
    await freezes.removeWhere({ _id: vm.id })
  } catch (error) {
    log('vms').warn({ err: error as Error, vm: vm.id }, 'a guest is not thawed yet')
    await thawSoon(vm.id)
  }
}

type Freeze = NonNullable<Awaited<ReturnType<typeof freezes.get>>>

/** Thaws a guest whose time is over; a guest that has started anew since is not frozen any more. */
async function end({ id, version, boot_id }: Freeze): Promise<void> {
  const vm = await vmRecords.get(id)
  if (vm && (await bootIdOf(vm)) === boot_id) await driverOf(vm).agent?.thaw(vm)
  // Another call may have put it off meanwhile.
  await freezes.removeWhere({ _id: id, version })
}

async function sweep(): Promise<void> {
  for (const freeze of await freezes.all({ thaws_at: { $lte: new Date().toISOString() } }))
    await end(freeze).catch((error: Error) =>
      log('vms').warn({ err: error, vm: freeze.id }, 'a guest is not thawed yet'),
    )
}

async function thawSoon(id: string): Promise<void> {
  await freezes.updateWhere({ _id: id }, { set: { thaws_at: new Date().toISOString() } })
  sweepAt(Date.now())
}

function sweepAt(time: number): void {
  const swept = () => sweep().catch((error: Error) => log('vms').warn({ err: error }, failed))
  setTimeout(swept, time - Date.now()).unref()
}

const failed = 'freezes could not be swept'

/** Thaws guests whose time is over, also those that a dead process has frozen. @returns a function that stops it */
export const sweepFreezes = (): (() => void) => every(sweepEveryMs, sweep, { part: 'vms', failed })
