import { setTimeout as delay } from 'node:timers/promises'
import type { Reached } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import type { SubjectName } from '../history/chunks.ts'
import { createFlusher, type Flushed, rollUpLeftovers } from '../history/flush.ts'
import type { Row } from '../history/ring.ts'
import { sweepHistory } from '../history/retention.ts'
import { tell } from './emit.ts'
import { type Fleet, isThere, nodeOf } from './fleet.ts'
import type { Leases } from './leases.ts'
import { measureContainers } from './measure-containers.ts'
import { measureGuests } from './measure-guests.ts'
import { type NodeProbe, probeNode, rowOfLost } from './measure-node.ts'
import { hearRows, shareRows } from './share.ts'
import { addRow, allRings, forgetRing, intervalOf, nodeIntervalMs } from './subjects.ts'

const leaseOf = (node: string) => `node ${node}`
/** The lease of the replica that deletes old history. */
const sweepLease = 'history'

type Probed = { reached: Reached; probe: NodeProbe; isBusy: boolean; isBusyWithGuests: boolean }

/**
 * Measures the nodes whose lease this replica has, and their guests in every second turn; writes their samples into the
 * history once a minute. A node that hangs delays no other.
 * @returns a function that stops it, and writes what is not written
 */
export function startSampler(fleet: Fleet, leases: Leases): () => Promise<void> {
  const probes = new Map<string, Probed>()
  const flusher = createFlusher()
  const warn = (failed: string) => (error: Error) => log('metrics').warn({ err: error }, failed)
  let turn = 0
  let isStopped = false

  const take = (rows: { subject: SubjectName; row: Row }[]) => {
    for (const { subject, row } of rows) addRow(subject, row)
    shareRows(leases.holder, rows)
    tell(rows.map(({ subject }) => subject))
  }

  const probeOf = (id: string, reached: Reached): Probed => {
    const known = probes.get(id)
    // A node that is reached in another way has other connections.
    if (known && known.reached.host === reached.host) return Object.assign(known, { reached })
    known?.probe.close()
    const made = { reached, probe: probeNode(reached), isBusy: false, isBusyWithGuests: false }
    probes.set(id, made)
    return made
  }

  const measureNode = async (id: string, probed: Probed) => {
    if (probed.isBusy) return
    probed.isBusy = true
    try {
      const last = allRings().get(`nodes/${id}`)?.table().identities.at(-1)?.id
      const row = await probed.probe.measure().catch((error: Error) => rowOfLost(id, last, error))
      take([{ subject: `nodes/${id}`, row }])
    } finally {
      probed.isBusy = false
    }
  }

  const measureVms = async (id: string, probed: Probed) => {
    if (probed.isBusyWithGuests) return
    probed.isBusyWithGuests = true
    try {
      // A source that hangs does not hold up the other.
      await Promise.all([
        measureGuests(probed.reached, fleet.byHandle(id)).then(take),
        measureContainers(id, fleet.containersOf(id)).then(take),
      ])
    } finally {
      probed.isBusyWithGuests = false
    }
  }

  const tick = async () => {
    await fleet.refresh()
    forgetGone()
    turn++
    const apartMs = Math.min(100, nodeIntervalMs / 2 / fleet.nodes.size)
    for (const [index, [id, reached]] of [...fleet.nodes].entries()) {
      // The nodes of a fleet are spread over the interval, and their guests over two.
      if (index > 0) await delay(apartMs)
      if (isStopped) return
      if (!(await leases.hold(leaseOf(id)))) {
        probes.get(id)?.probe.close()
        probes.delete(id)
        continue
      }
      const probed = probeOf(id, reached)
      void measureNode(id, probed).catch(warn('a node could not be measured'))
      if ((turn + index) % 2 === 1) void measureVms(id, probed).catch(warn('guests could not be measured'))
    }
  }

  const forgetGone = () => {
    for (const [id, { probe }] of probes) {
      if (fleet.nodes.has(id)) continue
      probe.close()
      probes.delete(id)
    }
    for (const subject of allRings().keys()) {
      if (isThere(fleet, subject)) continue
      forgetRing(subject)
      flusher.forget(subject)
    }
  }

  /** The subjects whose last sample is of a node that this replica measures. */
  const own = (): Flushed[] =>
    [...allRings()].flatMap(([subject, ring]) => {
      const node = nodeOf(subject, fleet)
      if (node === undefined || !leases.isHeld(leaseOf(node))) {
        flusher.forget(subject)
        return []
      }
      return [{ subject, ring, intervalMs: intervalOf(subject) }]
    })

  const flush = () => flusher.flush(own(), Date.now())
  const sweep = async () => {
    if (!(await leases.hold(sweepLease))) return
    await rollUpLeftovers(intervalOf, Date.now())
    await sweepHistory(Date.now())
  }

  void tick().catch(warn('the nodes are not known yet'))
  const ends = [
    hearRows(leases.holder, addRow),
    every(nodeIntervalMs, tick, { part: 'metrics', failed: 'nodes could not be measured' }),
    every(60_000, flush, { part: 'metrics', failed: 'samples could not be written' }),
    every(600_000, sweep, { part: 'metrics', failed: 'old samples could not be deleted' }),
  ]
  return async () => {
    isStopped = true
    for (const end of ends) end()
    await flush().catch(warn('the last samples could not be written'))
    for (const { probe } of probes.values()) probe.close()
  }
}
