import { call } from '#shared/bus/call.ts'
import { idOf, kindOf, type SubjectName } from '../history/chunks.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import type { Watched, WatchedContainer } from '#shared/contracts/metrics/monitoring.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { onChange } from '#shared/db/cache/changes.ts'
import { type Reached, reachAll } from '#shared/nodes/nodes.ts'

/** The nodes, VMs and containers that there are, as far as this replica has heard. */
export type Fleet = {
  nodes: ReadonlyMap<string, Reached>
  vms: ReadonlyMap<string, Watched>
  containers: ReadonlyMap<string, WatchedContainer>
  /** The VMs of a node, by the hypervisor's own names. */
  byHandle: (node: string) => ReadonlyMap<string, Watched>
  /** Reads again what has changed, or is old. */
  refresh: () => Promise<void>
  /** True once all of them were read. */
  isKnown: () => boolean
  stop: () => void
}

/** Notices can be lost while the bus is away. */
const freshMs = 60_000

/** Follows nodes, VMs and containers by the notices of their changes. */
export function followFleet(): Fleet {
  let nodes: ReadonlyMap<string, Reached> = new Map()
  let watched: ReadonlyMap<string, Watched> = new Map()
  let handles = new Map<string, Map<string, Watched>>()
  let watchedContainers: ReadonlyMap<string, WatchedContainer> = new Map()
  const readAt = { nodes: -Infinity, vms: -Infinity, containers: -Infinity }
  const changed = new Set<string>()
  const reading = new Map<string, Promise<void>>()
  const stop = onChange((collection) => {
    if (collection in readAt) changed.add(collection)
  })
  const isDue = (what: keyof typeof readAt) => changed.has(what) || performance.now() - readAt[what] > freshMs
  /** Reads, unless nothing has changed. A notice that comes while it reads counts for the next time. */
  const readIfDue = async (what: keyof typeof readAt, read: () => Promise<void>) => {
    await reading.get(what)?.catch(() => undefined)
    if (!isDue(what)) return
    changed.delete(what)
    const work = read()
    reading.set(what, work)
    try {
      await work
      readAt[what] = performance.now()
    } catch (error) {
      changed.add(what)
      throw error
    } finally {
      reading.delete(what)
    }
  }
  return {
    get nodes() {
      return nodes
    },
    get vms() {
      return watched
    },
    get containers() {
      return watchedContainers
    },
    byHandle: (node) => handles.get(node) ?? new Map<string, Watched>(),
    isKnown: () => Object.values(readAt).every((at) => at > -Infinity),
    stop,
    async refresh() {
      await readIfDue('nodes', async () => {
        const all = await reachAll()
        nodes = new Map(all.map((reached) => [reached.node.id, reached]))
      })
      await readIfDue('vms', async () => {
        const all = await readVms()
        watched = new Map(all.map((vm) => [vm.id, vm]))
        handles = new Map()
        for (const vm of all)
          handles.set(vm.node, (handles.get(vm.node) ?? new Map<string, Watched>()).set(vm.handle, vm))
      })
      await readIfDue('containers', async () => {
        watchedContainers = new Map((await readContainers()).map((container) => [container.id, container]))
      })
    },
  }
}

async function readVms(): Promise<Watched[]> {
  const all: Watched[] = []
  for (let after: string | undefined; ;) {
    const page = await call(vms, 'watched', after === undefined ? {} : { after }, { isQuestion: true })
    all.push(...page.data)
    if (page.next === null) return all
    after = page.next
  }
}

async function readContainers(): Promise<WatchedContainer[]> {
  const all: WatchedContainer[] = []
  for (let after: string | undefined; ;) {
    const page = await call(containers, 'watched', after === undefined ? {} : { after }, { isQuestion: true })
    all.push(...page.data)
    if (page.next === null) return all
    after = page.next
  }
}

/** Checks that a subject is still there. */
export const isThere = (fleet: Fleet, subject: SubjectName): boolean => fleet[kindOf(subject)].has(idOf(subject))

/** The node that a subject is on, or is. */
export function nodeOf(subject: SubjectName, fleet: Fleet): string | undefined {
  const [kind, id] = [kindOf(subject), idOf(subject)]
  return kind === 'nodes' ? id : fleet[kind].get(id)?.node
}
