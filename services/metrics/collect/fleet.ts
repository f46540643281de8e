import { call } from '#shared/bus/call.ts'
import { idOf, kindOf, type SubjectName } from '../history/chunks.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import type { Watched, WatchedContainer } from '#shared/contracts/metrics/monitoring.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { onChange } from '#shared/db/cache/changes.ts'
import { type Reached, reachAll } from '#shared/nodes/nodes.ts'
import { keep } from './kept.ts'

/** The nodes, VMs and containers that there are, as far as this replica has heard. */
export type Fleet = {
  nodes: ReadonlyMap<string, Reached>
  vms: ReadonlyMap<string, Watched>
  containers: ReadonlyMap<string, WatchedContainer>
  /** The VMs of a node, by the hypervisor's own names. */
  byHandle: (node: string) => ReadonlyMap<string, Watched>
  /** The containers of a node, by their ids. */
  containersOf: (node: string) => ReadonlyMap<string, WatchedContainer>
  /** Reads again what has changed, or is old. */
  refresh: () => Promise<void>
  /** True once all of them were read. */
  isKnown: () => boolean
  stop: () => void
}

/** Follows nodes, VMs and containers by the notices of their changes. */
export function followFleet(): Fleet {
  const hosts = keep<Placed<Reached>>(readNodes, ({ id }) => id)
  const guests = keep<Watched>(
    (asked) => call(vms, 'watched', asked, { isQuestion: true }),
    ({ handle }) => handle,
  )
  const boxes = keep<WatchedContainer>(
    (asked) => call(containers, 'watched', asked, { isQuestion: true }),
    ({ id }) => id,
  )
  const kept = [hosts, guests, boxes]
  let [nodes, nodesOf]: [ReadonlyMap<string, Reached>, unknown] = [new Map(), undefined]
  const stop = onChange((collection, { id }) => {
    // Nodes are few, and are read as a whole.
    if (collection === 'nodes') hosts.note(null)
    if (collection === 'vms') guests.note(id)
    if (collection === 'containers') boxes.note(id)
  })
  return {
    get nodes() {
      if (nodesOf !== hosts.all) {
        nodesOf = hosts.all
        nodes = new Map([...hosts.all].map(([id, { reached }]) => [id, reached]))
      }
      return nodes
    },
    get vms() {
      return guests.all
    },
    get containers() {
      return boxes.all
    },
    byHandle: guests.of,
    containersOf: boxes.of,
    isKnown: () => kept.every(({ isKnown }) => isKnown()),
    stop,
    async refresh() {
      for (const { refresh } of kept) await refresh()
    },
  }
}

type Placed<T> = { id: string; node: string; reached: T }

async function readNodes(): Promise<{ data: Placed<Reached>[]; next: null }> {
  const all = await reachAll()
  return { data: all.map((reached) => ({ id: reached.node.id, node: reached.node.id, reached })), next: null }
}

/** Checks that a subject is still there. */
export const isThere = (fleet: Fleet, subject: SubjectName): boolean => fleet[kindOf(subject)].has(idOf(subject))

/** The node that a subject is on, or is. */
export function nodeOf(subject: SubjectName, fleet: Fleet): string | undefined {
  const [kind, id] = [kindOf(subject), idOf(subject)]
  return kind === 'nodes' ? id : fleet[kind].get(id)?.node
}
