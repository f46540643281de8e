/**
 * Numbers of this process for Prometheus: counters and histograms that the code adds to, and gauges that are read when a
 * page is made. A label must have few values: no ids, no user names.
 */
export type Kind = 'counter' | 'gauge' | 'histogram'
export type Labels = Readonly<Record<string, string>>
/** A line of a family. `suffix`: `_bucket`, `_sum` and so on; empty for the family itself. */
export type Sample = { suffix: string; labels: Labels; value: number }
export type Family = { name: string; kind: Kind; does: string; samples: () => Iterable<Sample> }

const families: Family[] = []

/** All families of this process, in the order in which they were made. */
export const ownFamilies = (): readonly Family[] => families

/** Text of labels in one order, as a key. */
const keyOf = (labels: Labels) => Object.values(labels).join('\n')

/** A counter; its name has no `_total`. @returns adds to the counter with these labels */
export function counter(name: string, does: string): (labels?: Labels, by?: number) => void {
  const values = new Map<string, { labels: Labels; value: number }>()
  families.push({
    name,
    kind: 'counter',
    does,
    samples: () => [...values.values()].map(({ labels, value }) => ({ suffix: '_total', labels, value })),
  })
  return (labels = {}, by = 1) => {
    const key = keyOf(labels)
    const known = values.get(key)
    if (known) known.value += by
    else values.set(key, { labels, value: by })
  }
}

/** A gauge, which is read for each page. A number that is not known is left out. */
export const gauge = (name: string, does: string, read: () => number | null): void =>
  readFamily('gauge', name, does, read)

/** A counter that others count: it is read for each page. */
export const readCounter = (name: string, does: string, read: () => number): void =>
  readFamily('counter', name, does, read)

function readFamily(kind: 'gauge' | 'counter', name: string, does: string, read: () => number | null): void {
  const samples = () => {
    const value = read()
    return value === null ? [] : [{ suffix: kind === 'counter' ? '_total' : '', labels: {}, value }]
  }
  families.push({ name, kind, does, samples })
}

/** Seconds: from a fast answer to an operation of ten minutes. */
const bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600]

type Observed = { labels: Labels; counts: number[]; sum: number; count: number }

/** A histogram of durations. @returns adds a duration, seconds */
export function histogram(name: string, does: string): (labels: Labels, seconds: number) => void {
  const all = new Map<string, Observed>()
  const samplesOf = ({ labels, counts, sum, count }: Observed): Sample[] => {
    let total = 0
    const buckets = bounds.map((bound, index) => {
      total += counts[index]!
      return { suffix: '_bucket', labels: { ...labels, le: boundText(bound) }, value: total }
    })
    return [
      ...buckets,
      { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: count },
      { suffix: '_sum', labels, value: sum },
      { suffix: '_count', labels, value: count },
    ]
  }
  families.push({ name, kind: 'histogram', does, samples: () => [...all.values()].flatMap(samplesOf) })
  return (labels, seconds) => {
    const key = keyOf(labels)
    const observed = all.get(key) ?? { labels, counts: bounds.map(() => 0), sum: 0, count: 0 }
    all.set(key, observed)
    const place = bounds.findIndex((bound) => seconds <= bound)
    if (place >= 0) observed.counts[place]!++
    observed.sum += seconds
    observed.count++
  }
}

/** OpenMetrics writes bounds as floating point numbers: `1.0`. */
const boundText = (bound: number) => (Number.isInteger(bound) ? `${bound}.0` : String(bound))
