import { isBusConnected } from '#shared/bus/bus.ts'
import { event } from '#shared/events/event.ts'
import { publishLossy } from '#shared/events/publish.ts'
import type { SubjectKind } from '#shared/contracts/metrics/catalog.ts'
import type { Event, EventData } from '#shared/contracts/core/events.ts'
import type { SubjectName } from '../history/chunks.ts'
import { type Current, currentOf, toldRates } from './current.ts'

/** Changes of less than a tenth of a percent, and of less than a hundredth of a rate, are noise. */
const noisePercent = 0.1
const noiseShare = 0.01
/** Time after which an unchanged subject is told anyway. Milliseconds. */
const atLeastEveryMs = 60_000

type Numbers = Record<string, number | null>
const told = new Map<SubjectName, { at: number; numbers: Numbers }>()

/** Publishes the metrics of these subjects, if they have changed by more than noise. */
export function tell(subjects: readonly SubjectName[]): void {
  if (!isBusConnected()) return
  const now = performance.now()
  for (const subject of subjects) {
    const current = currentOf(subject, Date.now(), toldRates)
    const numbers = numbersOf(current)
    const last = told.get(subject)
    if (last && now - last.at < atLeastEveryMs && !isChange(last.numbers, numbers)) continue
    told.set(subject, { at: now, numbers })
    // Nothing waits for the stream: a sample that is lost is followed by the next.
    publishLossy(eventOf(subject, current, numbers))
  }
  for (const subject of told.keys()) if (now - told.get(subject)!.at > 2 * atLeastEveryMs) told.delete(subject)
}

/** True if a number has appeared, gone, or changed by more than noise. */
export function isChange(before: Numbers, now: Numbers): boolean {
  return Object.entries(now).some(([name, value]) => {
    const last = before[name] ?? null
    if (value === null || last === null) return value !== last
    const noise = name.endsWith('usage') ? noisePercent : Math.max(1, noiseShare * Math.abs(last))
    return Math.abs(value - last) > noise
  })
}

const rounded = (value: number | null, digits = 0) =>
  value === null ? null : Math.round(value * 10 ** digits) / 10 ** digits

function numbersOf({ values }: Current): Numbers {
  return {
    cpu_usage: rounded(values['cpu_percent'] ?? null, 2),
    memory_usage: rounded(values['memory_percent'] ?? null, 2),
    disk_read: rounded(values['disk_read_bytes_per_second'] ?? null),
    disk_write: rounded(values['disk_written_bytes_per_second'] ?? null),
    network_rx: rounded(values['network_received_bytes_per_second'] ?? null),
    network_tx: rounded(values['network_sent_bytes_per_second'] ?? null),
  }
}

function eventOf(subject: SubjectName, { source, quality, time }: Current, numbers: Numbers): Event {
  // A subject is a kind and an id.
  const [kind, id] = subject.split('/') as [SubjectKind, string]
  const timestamp = new Date(time ?? Date.now()).toISOString()
  // The names of the numbers are those of the events' schema.
  const data = { ...numbers, source, quality, timestamp } as Omit<EventData<'NodeMetrics'>, 'node_id'>
  if (kind === 'nodes') return event('NodeMetrics', { node_id: id, ...data })
  return kind === 'vms'
    ? event('VmMetrics', { vm_id: id, ...data })
    : event('ContainerMetrics', { container_id: id, ...data })
}
