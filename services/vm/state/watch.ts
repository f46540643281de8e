import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { Engine } from '#shared/nodes/engine.ts'
import { readMany } from '#shared/db/read.ts'
import { followEngines } from '#shared/nodes/follow-engines.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { createPace } from '#shared/runtime/pace.ts'
import { coalesced } from '#shared/runtime/single-flight.ts'
import type { Hypervisor, HypervisorEvent } from '../drivers/driver.ts'
import { drivers, hypervisors } from '../drivers/drivers.ts'
import { type VmRecord, vmRecords } from '../model.ts'
import { recordForeign } from './foreign.ts'
import { recordSizes } from './sizes.ts'
import { recordStatus, settle } from './status.ts'

const reconcileEveryMs = 20_000
/** Time between two comparisons of all definitions: there are no events for most changes by others. */
const compareEveryMs = 4000
/** Distance of two comparisons, of all nodes together: many guests take longer and not more of the processor. */
const comparisonTurn = createPace(10)
/** Time that a connection may be away before its guests are unknown. */
const graceMs = 3000

/** One hypervisor of one node, and the engine that it works through. */
type Watched = { reached: Reached; engine: Engine; hypervisor: VmRecord['hypervisor']; driver: Hypervisor }

const guestsOf = ({ reached, hypervisor }: Watched) => ({ node: reached.node.id, hypervisor })

const warn = (error: Error) => log('vms').warn({ err: error }, 'a status could not be brought up to date')

type State = Pick<VmRecord, 'handle' | 'status' | 'status_reason' | 'pending_restart' | 'template'>

/** Reads of the guests' records only what is compared. */
const stateOf = (watched: Watched) =>
  readMany<State>(vmRecords.model, guestsOf(watched), {
    fields: ['handle', 'status', 'status_reason', 'pending_restart', 'template'],
    sort: { _id: 1 },
  })

/** Compares all records of a node's guests with their statuses, which are read in one question. */
async function reconcile(watched: Watched): Promise<void> {
  const all = await watched.driver.statuses(watched.reached)
  for (const vm of await stateOf(watched)) {
    const found = all.get(vm.handle) ?? { status: 'stopped' as const, status_reason: null }
    if (found.status !== vm.status || found.status_reason !== vm.status_reason || vm.pending_restart)
      await settle(vm._id)
  }
}

/** Compares all records of a node's guests with their definitions, one after the other. */
async function compare(watched: Watched): Promise<void> {
  if (!watched.driver.changes?.isCompared || !watched.engine.isConnected()) return
  for (const { _id: id, template, status, status_reason } of await stateOf(watched)) {
    await comparisonTurn()
    if (template || status === 'unknown') continue
    await recordSizes(id).catch(warn)
    await recordForeign(id).catch(warn)
    // The reason of a guest that is off can go without an event: virsh managedsave-remove.
    if (status === 'stopped' && status_reason !== null) await settle(id).catch(warn)
  }
}

async function markUnknown(watched: Watched, reason: string): Promise<void> {
  if (watched.engine.isConnected()) return
  for (const vm of await vmRecords.all(guestsOf(watched)))
    await recordStatus(vm, { status: 'unknown', status_reason: reason })
}

/** Follows the events of a hypervisor on a node. @returns a function that stops it */
function follow(watched: Watched): () => void {
  const { reached, engine, driver } = watched
  const withVm = (work: (id: string) => Promise<unknown>) =>
    // A start alone is four events.
    coalesced(async (handle: string) => {
      const vm = await vmRecords.find({ ...guestsOf(watched), handle })
      if (vm) await work(vm.id)
    })
  const readStatus = withVm(settle)
  const readSizes = withVm(recordSizes)
  const readDisks = withVm(recordForeign)
  let grace: NodeJS.Timeout | undefined
  const unsubscribe = driver.events(
    reached,
    AsyncLocalStorage.bind((event: HypervisorEvent) => {
      if (event.kind === 'guest') readStatus(event.handle).catch(warn)
      if (event.kind === 'changed') readSizes(event.handle).catch(warn)
      if (event.kind === 'changed') readDisks(event.handle).catch(warn)
      if (event.kind === 'connected') {
        clearTimeout(grace)
        reconcile(watched).catch(warn)
      }
      if (event.kind === 'disconnected')
        grace = setTimeout(
          () => void markUnknown(watched, `Node '${reached.node.id}': ${event.error.message}`).catch(warn),
          graceMs,
        )
    }),
  )
  const timer = setInterval(() => engine.isConnected() && void reconcile(watched).catch(warn), reconcileEveryMs)
  const stop = new AbortController()
  void (async () => {
    while (!stop.signal.aborted) {
      await compare(watched).catch(warn)
      await delay(compareEveryMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return () => {
    stop.abort()
    unsubscribe()
    clearTimeout(grace)
    clearInterval(timer)
  }
}

/** Keeps the status of every VM true: by the events of all nodes, and by reading all statuses now and then. */
export const watchNodes = (): (() => void) =>
  followEngines({
    part: 'vms',
    names: hypervisors,
    engineOf: (hypervisor, reached) => drivers[hypervisor].engineOf(reached),
    follow: (hypervisor, reached, engine) => follow({ reached, engine, hypervisor, driver: drivers[hypervisor] }),
  })
