import type { Stats } from '../parts.ts'

const MiB = 2 ** 20

/** The counters in the state of an instance ("REST API": GET /1.0/instances/{name}/state). */
type State = {
  status_code: number
  cpu: { usage: number } | null
  memory: { usage: number; total?: number } | null
  network: Record<string, { type: string; counters: { bytes_received: number; bytes_sent: number } }> | null
}

const running = 103
/** A negative number means: not measured. */
const measured = (value: number | undefined) => (value === undefined || value < 0 ? null : value)

/** The counters of an instance. Engines count no bytes of disks. */
export function statsOf(state: State | null): Stats {
  if (state?.status_code !== running)
    return { cpu_time_ns: null, memory_mib: null, memory_rss_mib: null, disks: [], nics: [] }
  const used = measured(state.memory?.usage)
  const total = measured(state.memory?.total)
  const nics = Object.entries(state.network ?? {}).filter(([, { type }]) => type !== 'loopback')
  return {
    cpu_time_ns: measured(state.cpu?.usage),
    memory_mib: total ? total / MiB : null,
    memory_rss_mib: used === null ? null : used / MiB,
    disks: [],
    nics: nics.map(([name, { counters }]) => ({
      name,
      received_bytes: counters.bytes_received,
      sent_bytes: counters.bytes_sent,
    })),
  }
}
