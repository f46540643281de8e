import { call } from '#shared/bus/call.ts'
import { haResources } from '#shared/contracts/cluster/ha.ts'
import type { ProtectedVm } from '#shared/contracts/vm/fencing.ts'
import { AppError, ConflictError, ValidationError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { confirmationRecords, groupRecords, noteAttention, resourceRecords, rulesOf } from './model.ts'
import { type Decision } from './decide.ts'
import { isOwedNow, isSeenRunning } from './note.ts'
import { noteRefusal } from './refused.ts'
import { gather, lookAtNodes, noteLooked, restartTracker } from './world.ts'

const everyMs = 5000

/** Since when a guest runs, as this replica has seen it. Milliseconds of the monotonic clock. */
const runningSince = new Map<string, number>()

/** Ends the confirmations of nodes that answer. */
async function forgetConfirmations(online: string[]): Promise<void> {
  for (const record of await confirmationRecords.all())
    if (online.includes(record.id)) await confirmationRecords.removeWhere({ _id: record.id })
}

/** Brings the notes of a resource up to date with its VM: owed while it should run and does not, stable after a while. */
async function note(id: string, vm: ProtectedVm, isOnline: boolean, stableSeconds: number): Promise<void> {
  const resource = await resourceRecords.require(id)
  const noted = { status: vm.status, isWanted: vm.desired_state === 'running', isOnline, isLost: vm.is_lost }
  const runs = isSeenRunning(noted)
  if (!runs) runningSince.delete(id)
  else if (!runningSince.has(id)) runningSince.set(id, performance.now())
  const is_owed = isOwedNow(resource.is_owed, noted)
  if (is_owed !== resource.is_owed) await resourceRecords.change(id, () => ({ set: { is_owed } }))
  const since = runningSince.get(id)
  const isStable = since !== undefined && performance.now() - since > stableSeconds * 1000
  if (isStable && resource.attempts.length > 0) await resourceRecords.change(id, () => ({ set: { attempts: [] } }))
}

/** Begins what was decided: an operation for each start, which decides again by the state of then. */
async function begin(id: string, decision: Decision): Promise<void> {
  try {
    await call(haResources, 'failover', { id }, { timeoutMs: 60_000 })
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const found = error instanceof ValidationError ? error.violations : []
    const withoutStorage = found.find(({ code }) => code === 'storage')
    if (withoutStorage && decision.kind === 'start') noteRefusal(id, decision.to, withoutStorage.message)
    const level = error instanceof ConflictError ? 'debug' : 'warn'
    log('ha')[level]({ err: error, vm_id: id }, 'a guest was not started by HA')
  }
}

async function look(): Promise<void> {
  if ((await resourceRecords.all({}, 1)).length === 0) {
    isWatching = false
    return
  }
  // Nothing was observed while no VM was under HA.
  if (!isWatching) restartTracker()
  isWatching = true
  const looked = await lookAtNodes()
  noteLooked(looked)
  await forgetConfirmations(looked.flatMap(({ id, isOnline }) => (isOnline ? [id] : [])))
  const before = await gather()
  const groups = await groupRecords.all()
  for (const resource of before.resources) {
    const vm = before.vms.find(({ id }) => id === resource.id)
    if (!vm) continue
    const isOnline = looked.some(({ id, isOnline: answers }) => id === vm.node && answers)
    await note(resource.id, vm, isOnline, rulesOf(resource, groups).stable_seconds)
  }
  const { decisions, resources } = await gather()
  for (const resource of resources) {
    const decision = decisions.get(resource.id)
    if (decision) await noteAttention(resource, decision.kind === 'needs_attention' ? decision.reason : null)
  }
  const isAutomatic = (id: string) =>
    resources.some((resource) => resource.id === id && rulesOf(resource, groups).automatic)
  const starts = [...decisions].filter(([id, { kind }]) => kind === 'start' && isAutomatic(id))
  await Promise.all(starts.map(([id, decision]) => begin(id, decision)))
}
let isWatching = false

/** Looks at nodes and VMs under HA every five seconds; without any, it reads one empty list. @returns a function that stops it */
export const watchHa = (): (() => void) => every(everyMs, look, { part: 'ha', failed: 'HA could not look at its VMs' })
