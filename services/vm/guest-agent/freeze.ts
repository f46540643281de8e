import { Type } from 'typebox'
import { Id, strict, Time } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { renameFields } from '#shared/db/rename-fields.ts'
import { AppError, ConflictError, LateCallError, LostLeaseError } from '#shared/errors.ts'
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
  strict({
    id: Id,
    thaws_at: Time,
    boot_id: Type.Union([Type.String(), Type.Null()]),
    for_copy: Type.Optional(Type.Boolean({ description: 'Of a snapshot or clone, which renews its time' })),
  }),
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
  await write(id, { thaws_at, boot_id: await bootIdOf(vm), for_copy: false })
  try {
    return { vm_id: id, filesystems: await agent.freeze(vm), thaws_at }
  } catch (error) {
    // It may have frozen some file systems: the sweep thaws them now.
    await thawSoon(id)
    throw error
  }
}

type Written = { thaws_at: string; boot_id: string | null; for_copy: boolean }

async function write(id: string, freeze: Written): Promise<void> {
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
/** `problem`: the reason that the guest may still be frozen, such as an agent that has ended meanwhile. */
export type Frozen = { consistency: Consistency; filesystems: number; problem: string | null }

/** Limit of an agent's answer to a freeze or a thaw for a copy: an agent that hangs must not hold it up. Seconds. */
const answerSeconds = 10
/** Longest freeze for a copy. Milliseconds. */
const copyMs = 20_000
/** The guest of a process that dies while it copies is thawed this long after, by the next sweep. Milliseconds. */
const leaseMs = 5000
/** Two clocks may differ by so much: a freeze that ends sooner is not renewed any more. Milliseconds. */
const marginMs = 1000

const isoOf = (timeMs: number) => new Date(timeMs).toISOString()

/**
 * Renews the time of a freeze for a copy.
 * @returns `isKept`: false once another process may have thawed the guest; `end` stops the renewals
 */
function keepFrozen(id: string, firstMs: number) {
  const limitMs = Date.now() + answerSeconds * 1000 + copyMs
  let endMs = firstMs
  let isKept = true
  const renew = async () => {
    const next = Math.min(Date.now() + leaseMs, limitMs)
    isKept &&=
      Date.now() < endMs - marginMs &&
      (await freezes.updateWhere({ _id: id, for_copy: true }, { set: { thaws_at: isoOf(next) } })) !== null
    endMs = next
  }
  const end = every(leaseMs / 5, renew, { part: 'vms', failed: 'the time of a freeze was not renewed' })
  return { isKept: async () => renew().then(() => isKept), end }
}

/**
 * Does something short to a guest while its file systems are frozen; without an agent that answers, while they are not.
 * File systems that another caller has frozen stay frozen; those of an earlier try of a copy are thawed at the end.
 */
export async function whileFrozen(vm: VmRecord, work: () => Promise<unknown>): Promise<Frozen> {
  const { agent } = driverOf(vm)
  const view = vm.status === 'running' ? await agent?.view(vm) : undefined
  if (!agent || !view?.connected) {
    await work()
    return { consistency: 'crash', filesystems: 0, problem: null }
  }
  if (view.frozen && !(await freezes.get(vm.id))?.for_copy) {
    await work()
    return { consistency: (await agent.view(vm)).frozen ? 'filesystem' : 'crash', filesystems: 0, problem: null }
  }
  const endMs = Date.now() + leaseMs
  await write(vm.id, { thaws_at: isoOf(endMs), boot_id: await bootIdOf(vm), for_copy: true })
  const kept = keepFrozen(vm.id, endMs)
  let filesystems = 0
  let wasKept = false
  let thawed: Thawed = { filesystems: 0, problem: null }
  try {
    filesystems = await triedToFreeze(vm, agent)
    await work()
    wasKept = await kept.isKept()
  } finally {
    kept.end()
    thawed = await thawNow(vm, agent)
  }
  const { problem } = thawed
  // Of an agent that has ended nobody knows if the file systems were frozen all the time; of one that thaws none they were not.
  const isWhole = filesystems > 0 && wasKept && problem === null && thawed.filesystems > 0
  return { consistency: isWhole ? 'filesystem' : 'crash', filesystems, problem }
}

/** @returns the number of frozen file systems; 0 when the agent refuses, or does not answer in time */
async function triedToFreeze(vm: VmRecord, agent: Agent): Promise<number> {
  try {
    return await agent.freeze(vm, answerSeconds)
  } catch (error) {
    if (error instanceof LostLeaseError || error instanceof LateCallError || !(error instanceof AppError)) throw error
    log('vms').info({ err: error, vm: vm.id }, 'a guest was not frozen for its copy')
    return 0
  }
}

/** `problem`: the reason of a failure. */
type Thawed = { filesystems: number; problem: string | null }

/** Thaws a guest; after a failure the sweep tries again. */
async function thawNow(vm: VmRecord, agent: Agent): Promise<Thawed> {
  try {
    const filesystems = await agent.thaw(vm, answerSeconds)
    await freezes.removeWhere({ _id: vm.id })
    return { filesystems, problem: null }
  } catch (error) {
    log('vms').warn({ err: error as Error, vm: vm.id }, 'a guest is not thawed yet')
    await thawSoon(vm.id)
    return { filesystems: 0, problem: (error as Error).message }
  }
}

/** Line in the log of an operation about a guest that may still be frozen. */
export const thawProblem = (id: string, problem: string) =>
  `The guest of '${id}' may still be frozen: ${problem}. It is thawed as soon as its agent answers; without one it has to be reset`

type Freeze = NonNullable<Awaited<ReturnType<typeof freezes.get>>>

/** Thaws a guest whose time is over; a guest that has started anew since is not frozen any more. */
async function end({ id, version, boot_id }: Freeze): Promise<void> {
  const vm = await vmRecords.get(id)
  const isFrozenStill = vm !== null && (await bootIdOf(vm)) === boot_id
  // Another call may have frozen it anew meanwhile, or put the end off.
  const due = await freezes.updateWhere({ _id: id, version }, { set: { thaws_at: isoOf(Date.now()) } })
  if (!due) return
  if (isFrozenStill) await driverOf(vm).agent?.thaw(vm, answerSeconds)
  await freezes.removeWhere({ _id: id, version: due.version })
}

/** Several at once: an agent that hangs must not hold up others. */
async function sweep(): Promise<void> {
  const due = await freezes.all({ thaws_at: { $lte: isoOf(Date.now()) } })
  await Promise.all(
    due.map((freeze) =>
      end(freeze).catch((error: Error) => log('vms').warn({ err: error, vm: freeze.id }, 'a guest is not thawed yet')),
    ),
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
