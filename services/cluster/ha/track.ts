/** A node that has not answered for this long, in at least {@link lostAfterChecks} checks, is lost. */
const lostAfterMs = 15_000
const lostAfterChecks = 3
/** When our own loop lagged more than this, a missed check is no evidence. */
const lagMs = 12_000
/** Losses older than this do not count for the quarantine. */
const lossesForMs = 3_600_000
const firstQuarantineMs = 60_000

/** The observations of one node. Times are of a monotonic clock. */
type Seen = {
  missedSince: number | null
  missed: number
  isLost: boolean
  losses: number[]
  answeredAt: number | null
  backAt: number
}

export type Tracker = { nodes: Map<string, Seen>; lookedAt: number | null; holdsSince: number; wasIsolated: boolean }
export type Looked = { id: string; isOnline: boolean; isRemote: boolean; isConfirmedOff: boolean }
export type NodeState = 'online' | 'suspect' | 'lost'

export const startTracker = (nowMs: number): Tracker => ({
  nodes: new Map(),
  lookedAt: null,
  holdsSince: nowMs,
  wasIsolated: false,
})

const none: Seen = { missedSince: null, missed: 0, isLost: false, losses: [], answeredAt: null, backAt: -Infinity }

function observe(seen: Seen, isOnline: boolean, hasLagged: boolean, nowMs: number): Seen {
  if (isOnline) {
    const backAt = seen.isLost ? nowMs : seen.backAt
    return { ...seen, missedSince: null, missed: 0, isLost: false, answeredAt: nowMs, backAt }
  }
  const missedSince = hasLagged ? nowMs : (seen.missedSince ?? nowMs)
  const missed = hasLagged ? 1 : seen.missed + 1
  const isLost = missed >= lostAfterChecks && nowMs - missedSince >= lostAfterMs
  const losses = seen.losses.filter((at) => nowMs - at < lossesForMs)
  return { ...seen, missedSince, missed, isLost, losses: isLost && !seen.isLost ? [...losses, nowMs] : losses }
}

/** The tracker after a look at all nodes. A pure function. */
export function track(tracker: Tracker, looked: Looked[], nowMs: number): Tracker {
  const hasLagged = tracker.lookedAt !== null && nowMs - tracker.lookedAt > lagMs
  const nodes = new Map(
    looked.map(({ id, isOnline }) => [id, observe(tracker.nodes.get(id) ?? none, isOnline, hasLagged, nowMs)]),
  )
  const isIsolated = isolationOf(looked) !== null
  // The end of an isolation is a cold start: the nodes come back one after the other.
  const holdsSince = tracker.wasIsolated && !isIsolated ? nowMs : tracker.holdsSince
  return { nodes, lookedAt: nowMs, holdsSince, wasIsolated: isIsolated }
}

/** The state of a node: its last check, and if that was missed, the time since. */
export function stateOf(tracker: Tracker, { id, isOnline }: Pick<Looked, 'id' | 'isOnline'>): NodeState {
  if (isOnline) return 'online'
  return tracker.nodes.get(id)?.isLost ? 'lost' : 'suspect'
}

/** Time for which no guest is started on a node that was lost: it doubles with every loss of the last hour. */
export function quarantineMs(tracker: Tracker, id: string, nowMs: number): number {
  const { losses = [], backAt = -Infinity } = tracker.nodes.get(id) ?? {}
  const count = losses.filter((at) => nowMs - at < lossesForMs).length
  if (count < 2) return 0
  const length = Math.min(lossesForMs, firstQuarantineMs * 2 ** (count - 2))
  return Math.max(0, Math.min(length, backAt + length - nowMs))
}

/** The reason that the fault is probably on our side: most of the other machines, or the only one, do not answer. */
export function isolationOf(looked: Looked[]): string | null {
  const others = looked.filter(({ isRemote, isConfirmedOff }) => isRemote && !isConfirmedOff)
  const away = others.filter(({ isOnline }) => !isOnline)
  if (away.length === 0) return null
  if (away.length * 2 <= others.length) return null
  return `${away.length} of ${others.length} other nodes do not answer: the fault is probably on the side of Horcrux`
}

/** The reason to hold off after a cold start; null once every node has answered since, or the time is over. */
export function holdOffOf(tracker: Tracker, looked: Looked[], holdOffMs: number, nowMs: number): string | null {
  const silent = looked.filter(({ id, isOnline, isRemote, isConfirmedOff }) => {
    const answeredAt = tracker.nodes.get(id)?.answeredAt ?? null
    return !isOnline && isRemote && !isConfirmedOff && (answeredAt === null || answeredAt < tracker.holdsSince)
  })
  const leftMs = tracker.holdsSince + holdOffMs - nowMs
  if (silent.length === 0 || leftMs <= 0) return null
  return `it holds off after a cold start, until ${silent.map(({ id }) => `'${id}'`).join(', ')} answers or for ${Math.ceil(leftMs / 1000)} s more`
}
