import { type Series, series as catalogue } from '#shared/contracts/metrics/catalog.ts'
import type { History, Point } from '#shared/contracts/metrics/monitoring.ts'
import { type Interval } from './buckets.ts'
import { chunksBetween, kindOf, type SubjectName, tableOf, type Tier, tiers } from './chunks.ts'
import type { Ring } from './ring.ts'
import { type Buckets, createBuckets, rollUpBuckets, rollUpSamples } from './roll-up.ts'
import { between, concat, type Table } from './table.ts'

export type Asked = {
  subject: SubjectName
  metric: string
  edges: Float64Array
  interval: Interval
  intervalMs: number
  now: number
}

/** The coarsest tier whose rows fit into the buckets, or the finest that reaches back far enough. */
export function tierFor(edges: Float64Array, { ms }: Interval, now: number): Tier {
  const age = now - edges[0]!
  const isAligned = (rowMs: number) => edges.every((edge) => edge % rowMs === 0)
  const kept = (tier: Tier) => age <= tiers[tier].keptMs
  for (const tier of ['ten_minutes', 'minute'] as const)
    if (ms >= tiers[tier].rowMs && isAligned(tiers[tier].rowMs) && (kept(tier) || tier === 'ten_minutes')) return tier
  if (kept('raw')) return 'raw'
  return kept('minute') ? 'minute' : 'ten_minutes'
}

/** Reads a series in buckets, from the store and the ring of this process. */
export async function readHistory(
  asked: Asked,
  ring: Ring | undefined,
): Promise<Pick<History, 'data' | 'marks' | 'tier'>> {
  const { subject, metric, edges, interval, intervalMs, now } = asked
  const series = catalogue[kindOf(subject)][metric]!
  const tier = tierFor(edges, interval, now)
  const [from, to] = [edges[0]!, edges.at(-1)!]
  const buckets = createBuckets(edges.length - 1)
  const rolled = tier === 'raw' ? undefined : await readRolled(asked, tier, buckets, [from, to])
  // Samples that are not rolled up yet.
  const rawFrom = rolled === undefined ? from : Math.max(from, rolled.end)
  const samples = await rawSamples(subject, series, [rawFrom - 3 * intervalMs, Math.min(to, now + 1)], ring)
  rollUpSamples(
    between(samples, rawFrom - 3 * intervalMs, to),
    series,
    intervalMs,
    partOf(edges, rawFrom),
    shifted(buckets, edges, rawFrom),
  )
  // The weight of a gauge is its number of samples, which each stand for one interval.
  const perSample = series.isRate ? 1 : intervalMs / 1000
  return {
    tier,
    data: pointsOf(edges, buckets, perSample),
    marks: marksOf([...(rolled ? [rolled.table] : []), samples], from, to),
  }
}

/** The edges from the bucket of a time on; samples before that time belong to rows that are rolled up already. */
function partOf(edges: Float64Array, time: number): Float64Array {
  const first = firstBucketAt(edges, time)
  const part = edges.slice(first)
  if (part.length > 0 && part[0]! < time) part[0] = time
  return part
}

const firstBucketAt = (edges: Float64Array, time: number) =>
  Math.max(
    0,
    edges.findLastIndex((edge) => edge <= time),
  )

function shifted(buckets: Buckets, edges: Float64Array, time: number): Buckets {
  const first = firstBucketAt(edges, time)
  const cut = (array: Float64Array) => array.subarray(first)
  return { min: cut(buckets.min), max: cut(buckets.max), sum: cut(buckets.sum), weight: cut(buckets.weight) }
}

/** Adds the rows of a roll-up tier. @returns the end of the last of them, and their identities */
async function readRolled(
  { subject, metric, edges }: Asked,
  tier: Tier,
  buckets: Buckets,
  [from, to]: readonly [number, number],
): Promise<{ end: number; table: Table }> {
  const wanted = new Set(['min', 'max', 'sum', 'weight'].map((part) => `${metric}.${part}`))
  const chunks = await chunksBetween(subject, tier, from, to)
  const table = between(concat(chunks.map((chunk) => tableOf(chunk, wanted))), from, to)
  rollUpBuckets(table, metric, edges, buckets)
  return { end: table.length === 0 ? -Infinity : table.times.at(-1)! + tiers[tier].rowMs, table }
}

async function rawSamples(
  subject: SubjectName,
  series: Series,
  [from, to]: readonly [number, number],
  ring: Ring | undefined,
): Promise<Table> {
  const wanted = new Set([series.column, ...(series.share === undefined ? [] : [series.share])])
  const needsStore = !ring || ring.firstTime() > from
  const chunks = needsStore ? await chunksBetween(subject, 'raw', from, to) : []
  const stored = concat(chunks.map((chunk) => tableOf(chunk, wanted)))
  const newer = ring?.table(Math.max(from, (stored.times.at(-1) ?? -Infinity) + 1), to)
  return concat(newer ? [between(stored, from, to), newer] : [between(stored, from, to)])
}

export function pointsOf(edges: Float64Array, { min, max, sum, weight }: Buckets, perSample: number): Point[] {
  return Array.from({ length: edges.length - 1 }, (_, index) => {
    const seconds = (edges[index + 1]! - edges[index]!) / 1000
    const isMeasured = weight[index]! > 0
    return {
      time: new Date(edges[index]!).toISOString(),
      seconds,
      min: isMeasured ? min[index]! : null,
      avg: isMeasured ? sum[index]! / weight[index]! : null,
      max: isMeasured ? max[index]! : null,
      covered: Math.min(1, (weight[index]! * perSample) / seconds),
    }
  })
}

/** Changes of the identity: starts, and moves to another node. */
export function marksOf(tables: readonly Table[], from: number, to: number): History['marks'] {
  const marks: History['marks'] = []
  let before: { id: string; node: string } | undefined
  for (const { identities, identity, times, length } of tables)
    for (let index = 0; index < length; index++) {
      const now = identities[identity[index]!]
      if (
        now &&
        before &&
        (now.id !== before.id || now.node !== before.node) &&
        times[index]! >= from &&
        times[index]! < to
      )
        marks.push({
          time: new Date(times[index]!).toISOString(),
          kind: now.node === before.node ? 'restarted' : 'moved',
          node: now.node,
        })
      before = now ?? before
    }
  return marks
}
