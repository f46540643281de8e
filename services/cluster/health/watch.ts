import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { NodeHealth } from '#shared/contracts/cluster/node-health.ts'
import { now } from '#shared/events/event.ts'
import { open, type Reached } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { coalesced } from '#shared/runtime/single-flight.ts'
import { engineStatesOf, factsOf } from '../nodes/facts.ts'
import { nodeRecords } from '../nodes/model.ts'
import type { StoredNode } from '../nodes/stored-node.ts'
import { reachOf } from '../nodes/view.ts'
import { type Found, healthFrom, type LastCheck, recorded, unasked } from './channels.ts'
import { clockChannel, hostChannel, shownKeyChannel, storageChannels, unaskedStorage } from './probe.ts'

const everyMs = 5000
/** Clocks and storage pools change slowly, and the question about storage goes to another service. */
const slowEveryMs = 30_000
/** Each look at the host key is a connection that sshd logs as given up. */
const keyEveryMs = 300_000
/** A question about the health waits no longer for a new check. */
const patienceMs = 3000

type Times = Partial<Record<'quick' | 'slow' | 'key', { at: number; time: string }>>
/** The last checks that this replica has made, by node. */
const checks = new Map<string, Times>()

/**
 * Checks a node once, and records what has changed; its facts too when it came back or an engine was upgraded.
 * @param how `quick`: host and engines only; `usual`: the slow channels too when they are due
 */
export async function checkNode(node: StoredNode, how: 'quick' | 'usual' | 'whole' = 'usual'): Promise<void> {
  const reached = open(reachOf(node))
  const times = checks.get(node.id) ?? {}
  checks.set(node.id, times)
  const isKeyDue = how === 'whole' || (how === 'usual' && isOlder(times.key, keyEveryMs))
  const [host, engines] = await Promise.all([hostOf(node, reached, isKeyDue), engineStatesOf(reached, node.engines)])
  if (isKeyDue) times.key = { at: performance.now(), time: now() }
  const isSlowDue = how !== 'quick' && (how === 'whole' || isDue(node, times.slow))
  const rest = await restOf(node, host, reached, isSlowDue)
  const time = now()
  times.quick = { at: performance.now(), time }
  if (isSlowDue) times.slow = { at: performance.now(), time }
  const status = host.status === 'failed' ? ('offline' as const) : ('online' as const)
  const channels = recorded(node.channels, [host, ...rest], time)
  const health = { status, status_reason: status === 'online' ? null : host.reason, engines, channels }
  const before = {
    status: node.status,
    status_reason: node.status_reason,
    engines: node.engines,
    channels: node.channels,
  }
  if (isDeepStrictEqual(health, before) && node.facts) return
  const facts = status === 'online' ? await factsOf(reached.host) : node.facts
  await nodeRecords.updateWhere({ _id: node.id, version: node.version }, { set: { ...health, facts } })
}

/** True when clock and storage pools are to be asked: some channel is unknown, or the last answers are old. */
const isDue = ({ channels }: StoredNode, last: Times['slow']): boolean =>
  isOlder(last, slowEveryMs) || channels.some(({ status }) => status === 'unknown')

const isOlder = (last: Times['slow'], ms: number) => !last || performance.now() - last.at > ms

/** The channel of the host itself. A changed key that was seen before is told until the next look at the key. */
async function hostOf({ channels }: StoredNode, reached: Reached, isKeyDue: boolean): Promise<Found> {
  const host = await hostChannel(reached)
  if (host.status !== 'ok') return host
  const before = channels.find(({ channel, status }) => channel === 'host' && status === 'warning')
  return (isKeyDue ? await shownKeyChannel(reached) : before) ?? host
}

/** The channels beside the host: of a host that does not answer, nothing is known. */
async function restOf({ id, channels }: StoredNode, host: Found, reached: Reached, isAsked: boolean): Promise<Found[]> {
  if (host.status === 'failed') {
    const reason = 'The node is not reached'
    return [unasked('clock', 'clock', reason), ...unaskedStorage(channels, reason)]
  }
  if (!isAsked) return channels.filter(({ channel }) => channel !== 'host')
  const [clock, storage] = await Promise.all([clockChannel(reached.host), storageChannels(id, channels)])
  return [clock, ...storage]
}

const fresh = coalesced(async (id: string) => checkNode(await nodeRecords.require(id), 'whole'))

/** The health of a node after a new check, or as far as it is known after {@link patienceMs}. */
export async function healthOf(id: string): Promise<NodeHealth> {
  await nodeRecords.require(id)
  const late = new AbortController()
  const failed = (error: Error) => log('nodes').warn({ err: error, node: id }, 'a node could not be checked')
  await Promise.race([
    fresh(id).catch(failed),
    delay(patienceMs, undefined, { signal: late.signal }).catch(() => undefined),
  ])
  late.abort()
  const times = checks.get(id)
  return healthFrom(await nodeRecords.require(id), (channel) =>
    lastOf(times?.[channel === 'host' || channel === 'engine' ? 'quick' : 'slow']),
  )
}

const lastOf = (last: Times['quick']): LastCheck =>
  last && { checked_at: last.time, age_seconds: Math.round((performance.now() - last.at) / 1000) }

/** Checks every node every five seconds; one that hangs delays no other. @returns a function that stops it */
export function watchHealth(): () => void {
  const stop = new AbortController()
  const busy = new Set<string>()
  const check = async (node: StoredNode) => {
    if (busy.has(node.id)) return
    busy.add(node.id)
    await checkNode(node).catch((error: Error) =>
      log('nodes').warn({ err: error, node: node.id }, 'a node could not be checked'),
    )
    busy.delete(node.id)
  }
  void (async () => {
    while (!stop.signal.aborted) {
      const all = await nodeRecords.all().catch(() => [])
      for (const id of checks.keys()) if (!all.some((node) => node.id === id)) checks.delete(id)
      for (const node of all) void check(node)
      await delay(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return () => stop.abort()
}
