import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { coalesced } from '#shared/runtime/single-flight.ts'
import { log } from '#shared/runtime/log.ts'
import { forget, type Reached, reachAll } from '#shared/nodes/nodes.ts'
import type { Hypervisor, News } from '../drivers/driver.ts'
import { drivers } from '../drivers/drivers.ts'
import { vmRecords } from '../model.ts'
import { note, settle, takeOver } from './status.ts'

const lookForNodesEveryMs = 2000
const reconcileEveryMs = 20_000
const patienceMs = 3000

/** One hypervisor of one node. */
type Place = { reached: Reached; hypervisor: keyof typeof drivers; driver: Hypervisor }

const recordsAt = ({ reached, hypervisor }: Place) => vmRecords.all({ node: reached.node.id, hypervisor })

/** Compares the records of a place's guests with what it says, in one question for all of them. */
async function reconcile(place: Place): Promise<void> {
  const all = await place.driver.lookAtAll(place.reached)
  for (const vm of await recordsAt(place)) {
    const seen = all.get(vm.domain_uuid) ?? { status: 'stopped' as const, status_reason: null }
    if (seen.status !== vm.status || seen.status_reason !== vm.status_reason || vm.pending_restart) await settle(vm.id)
  }
}

async function markUnknown(place: Place, reason: string): Promise<void> {
  if (place.driver.isConnected(place.reached)) return
  for (const vm of await recordsAt(place)) await note(vm, { status: 'unknown', status_reason: reason })
}

const warn = (error: Error) => log('vms').warn({ err: error }, 'a status could not be brought up to date')

async function withDomain(uuid: string, work: (id: string) => Promise<unknown>): Promise<void> {
  const vm = await vmRecords.find({ domain_uuid: uuid })
  if (vm) await work(vm.id)
}

/** Follows what a hypervisor tells of a node. @returns a function that stops it */
function follow(place: Place): () => void {
  const { reached, driver } = place
  // A start alone is four pieces of news.
  const look = coalesced((uuid) => withDomain(uuid, settle))
  const compare = coalesced((uuid) => withDomain(uuid, takeOver))
  let patience: NodeJS.Timeout | undefined
  const unfollow = driver.follow(
    reached,
    AsyncLocalStorage.bind((news: News) => {
      if (news.kind === 'guest') look(news.domain_uuid).catch(warn)
      if (news.kind === 'changed') compare(news.domain_uuid).catch(warn)
      if (news.kind === 'connected') {
        clearTimeout(patience)
        reconcile(place).catch(warn)
      }
      if (news.kind === 'disconnected')
        patience = setTimeout(
          () => void markUnknown(place, `Node '${reached.node.id}': ${news.error.message}`).catch(warn),
          patienceMs,
        )
    }),
  )
  const timer = setInterval(() => driver.isConnected(reached) && void reconcile(place).catch(warn), reconcileEveryMs)
  return () => {
    unfollow()
    clearTimeout(patience)
    clearInterval(timer)
  }
}

/** Follows all hypervisors of a node. @returns a function that stops it */
function followAll(reached: Reached): () => void {
  const ends = Object.entries(drivers).map(([hypervisor, driver]) =>
    // The keys of `drivers` are its hypervisors.
    follow({ reached, hypervisor: hypervisor as keyof typeof drivers, driver }),
  )
  return () => {
    for (const end of ends) end()
  }
}

/** Keeps every VM's status true: by the events of all nodes, and by a look at all guests now and then. */
export function watchNodes(): () => void {
  const stop = new AbortController()
  const followed = new Map<string, { libvirt: Reached['libvirt']; end: () => void }>()
  const adopt = async () => {
    const all = await reachAll()
    for (const reached of all) {
      const known = followed.get(reached.node.id)
      if (known?.libvirt === reached.libvirt) continue
      known?.end()
      followed.set(reached.node.id, { libvirt: reached.libvirt, end: followAll(reached) })
    }
    for (const [id, { end }] of followed) {
      if (all.some(({ node }) => node.id === id)) continue
      end()
      followed.delete(id)
      await forget(id)
    }
  }
  void (async () => {
    while (!stop.signal.aborted) {
      await adopt().catch((error: Error) => log('vms').debug({ err: error }, 'the nodes are not known yet'))
      await delay(lookForNodesEveryMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return () => {
    stop.abort()
    for (const { end } of followed.values()) end()
  }
}
