import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { HostNews } from '#shared/libvirt/host-connection.ts'
import { domainStates } from '#shared/libvirt/stats.ts'
import { log } from '#shared/log.ts'
import { type Reached, reachAll } from '#shared/nodes.ts'
import { vmRecords } from './model.ts'
import { note, seenAs, settle } from './status.ts'

const lookForNodesEveryMs = 2000
const reconcileEveryMs = 20_000
const patienceMs = 3000

/** Compares the records of a node's guests with what the node says, in one call for all of them. */
async function reconcile({ node, libvirt }: Reached): Promise<void> {
  const states = new Map((await domainStates(libvirt)).map((sample) => [sample.uuid, sample]))
  for (const vm of await vmRecords.all({ node: node.id })) {
    const sample = states.get(vm.domain_uuid)
    const seen = sample ? seenAs(sample) : { status: 'stopped' as const, status_reason: null }
    if (seen.status !== vm.status || seen.status_reason !== vm.status_reason) await settle(vm.id)
  }
}

async function markUnknown({ node, libvirt }: Reached, reason: string): Promise<void> {
  if (libvirt.isConnected()) return
  for (const vm of await vmRecords.all({ node: node.id })) await note(vm, { status: 'unknown', status_reason: reason })
}

const warn = (error: Error) => log('vms').warn({ err: error }, 'a status could not be brought up to date')

async function settleDomain(uuid: string): Promise<void> {
  const vm = await vmRecords.find({ domain_uuid: uuid })
  if (vm) await settle(vm.id)
}

/** Follows the events of one node's libvirt. @returns a function that stops it */
function follow(reached: Reached): () => void {
  const { node, libvirt } = reached
  let patience: NodeJS.Timeout | undefined
  const unsubscribe = libvirt.subscribe(
    ['lifecycle'],
    AsyncLocalStorage.bind((news: HostNews) => {
      if (news.kind === 'lifecycle') settleDomain(news.uuid).catch(warn)
      if (news.kind === 'connected') {
        clearTimeout(patience)
        reconcile(reached).catch(warn)
      }
      if (news.kind === 'disconnected')
        patience = setTimeout(
          () => void markUnknown(reached, `Node '${node.id}': ${news.error.message}`).catch(warn),
          patienceMs,
        )
    }),
  )
  const timer = setInterval(() => libvirt.isConnected() && void reconcile(reached).catch(warn), reconcileEveryMs)
  return () => {
    unsubscribe()
    clearTimeout(patience)
    clearInterval(timer)
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
      followed.set(reached.node.id, { libvirt: reached.libvirt, end: follow(reached) })
    }
    for (const [id, { end }] of followed) {
      if (all.some(({ node }) => node.id === id)) continue
      end()
      followed.delete(id)
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
