import { isDeepStrictEqual } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { v7 } from 'uuid'
import type { Gap } from '#shared/contracts/container/network-policies.ts'
import { releaseLease } from '#shared/db/lease.ts'
import { takeOver } from '#shared/db/take-over.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { type Reached, reachAll } from '#shared/nodes/nodes.ts'
import { coalesced } from '#shared/runtime/single-flight.ts'
import { fixedAddresses } from '../networks/fixed-addresses.ts'
import { type Enforcer, enforcerOn } from './enforcer.ts'
import { type Everything, gather } from './gather.ts'
import { gapsFor } from './gaps.ts'
import { isolating } from './isolation.ts'
import { enforcedNodes, policyRecords } from './models.ts'
import { endpointsFor, worldOf } from './views.ts'
import type { Endpoint, Policy } from './world.ts'

/** This process, as the writer of rules. */
const self = v7()
const leaseMs = 60_000
/** Time to wait for another replica that writes the rules of a node. */
const patienceMs = 20_000
const pauseMs = 50

/** The rules of a node as this process has written them. */
type Kept = {
  host: Reached['host']
  enforcer: Enforcer
  policies: Map<string, Policy>
  endpoints: Map<string, Endpoint>
}
const kept = new Map<string, Kept>()

type Lock = { id: string; epoch: number; written_by: string | null; gaps: Gap[] }

/** Takes the lease of a node's rules. @returns null when another has it and `wait` is false */
async function lockOf(node: string, wait: boolean): Promise<Lock | null> {
  const until = Date.now() + patienceMs
  for (;;) {
    const taken = await takeOver<{ _id: string; epoch: number; written_by?: string | null; gaps?: Gap[] }>(
      enforcedNodes.model,
      node,
      { ms: leaseMs, upsert: true, read: async () => (await enforcedNodes.get(node))?.lease },
    )
    if (taken) return { id: node, epoch: taken.epoch, written_by: taken.written_by ?? null, gaps: taken.gaps ?? [] }
    if (!wait) return null
    if (Date.now() > until) throw new UnavailableError(`The network policies of node '${node}' are being written`)
    await delay(pauseMs)
  }
}

/** The difference between two maps. */
function difference<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): Map<string, T | null> {
  const changed = new Map<string, T | null>()
  for (const [id, next] of after) if (!isDeepStrictEqual(before.get(id), next)) changed.set(id, next)
  for (const id of before.keys()) if (!after.has(id)) changed.set(id, null)
  return changed
}

function keptFor({ node, host }: Reached, everything: Everything): Kept {
  const known = kept.get(node.id)
  if (known?.host === host) return known
  const made = {
    host,
    enforcer: enforcerOn(host, worldOf(node.id, everything)),
    policies: new Map(),
    endpoints: new Map(),
  }
  kept.set(node.id, made)
  return made
}

const byId = <T extends { id: string }>(all: readonly T[]) => new Map(all.map((one) => [one.id, one]))

/** True when a policy isolates a container or VM of the node. */
const isConcerned = (node: string, policies: readonly Policy[], { found }: Everything): boolean =>
  found.some(
    ({ node: on, endpoint }) =>
      on === node &&
      (['Ingress', 'Egress'] as const).some((direction) => isolating(policies, endpoint, direction).length > 0),
  )

/** Brings the rules of one node to the policies of now. @returns the gaps of the node */
async function writeNode(
  reached: Reached,
  policies: readonly Policy[],
  everything: Everything,
  lock: Lock,
): Promise<void> {
  const { id } = reached.node
  const one = keptFor(reached, everything)
  if (!isConcerned(id, policies, everything)) {
    // The firewall of a node on which nothing is isolated is left alone.
    if (lock.written_by !== null) await one.enforcer.remove()
    kept.delete(id)
    return
  }
  const next = { policies: byId(policies), endpoints: byId(endpointsFor(id, everything)) }
  const changes = {
    policies: difference(one.policies, next.policies),
    endpoints: difference(one.endpoints, next.endpoints),
  }
  Object.assign(one, next)
  await one.enforcer.change(changes, worldOf(id, everything))
  // Another replica may have written rules that this one does not know.
  if (lock.written_by !== self) await one.enforcer.rewrite()
}

/** Alerts for gaps that were not there before: of containers and VMs that a policy isolates, and of the whole node. */
function alertsFor(gaps: readonly Gap[], before: readonly Gap[]): Event[] {
  const known = new Set(before.map(({ resource }) => resource))
  return gaps
    .filter(({ resource }) => !known.has(resource))
    .map(({ node, resource, reason }) =>
      event('AlertTriggered', {
        alert_id: v7(),
        name: 'policy_not_enforced',
        severity: 'critical',
        resource: resource ?? `/api/cluster/nodes/${node}`,
        message: `Network policies are not enforced: ${reason}`,
        timestamp: now(),
      }),
    )
}

async function syncNode(reached: Reached, policies: readonly Policy[], everything: Everything): Promise<void> {
  const { id } = reached.node
  const lock = await lockOf(id, true)
  if (!lock) return
  const gaps = gapsFor(policies, everything).filter(({ node }) => node === id)
  let writer = lock.written_by
  try {
    if (!everything.unreachable.has(id)) {
      await writeNode(reached, policies, everything, lock)
      writer = isConcerned(id, policies, everything) ? self : null
    }
  } catch (error) {
    gaps.push({ node: id, resource: null, reason: (error as Error).message.slice(0, 500) })
    kept.delete(id)
  }
  const events = alertsFor(gaps, lock.gaps)
  try {
    if (events.length > 0 || !isDeepStrictEqual(gaps, lock.gaps))
      await enforcedNodes.updateWhere({ _id: id, epoch: lock.epoch }, { set: { gaps }, events })
  } finally {
    await releaseLease(enforcedNodes.model, lock, { $set: { written_by: writer } })
  }
}

async function syncAll(): Promise<void> {
  const policies: Policy[] = await policyRecords.all()
  const written = await enforcedNodes.all({ written_by: { $ne: null } })
  // Nothing is asked and nothing touched where there has never been a policy.
  if (policies.length === 0 && written.length === 0) return
  const nodes = await reachAll()
  const everything = await gather(nodes, await fixedAddresses())
  await Promise.all(nodes.map((node) => syncNode(node, policies, everything)))
}

const sync = coalesced(syncAll)

/** Brings the rules of all nodes to the policies, containers and VMs of now. */
export const syncPolicies = (): Promise<void> => sync('all')

/** Compares the rules in the kernels with those that this process wrote, and puts right what others have changed. */
export async function reconcileNodes(withElements: boolean): Promise<void> {
  for (const [node, { enforcer }] of kept) {
    const lock = await lockOf(node, false)
    if (!lock) continue
    try {
      if (lock.written_by === self) await enforcer.reconcile({ withElements })
      else kept.delete(node)
    } finally {
      await releaseLease(enforcedNodes.model, lock)
    }
  }
}
