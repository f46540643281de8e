/** The state of a guest or container, and the time that it has run since its last start. */
export type Run = {
  status: 'running' | 'paused' | 'stopped'
  /** Starts so far. */
  runs: number
  /** Milliseconds since 1970 from which it runs; null while it does not. */
  since: number | null
  /** Milliseconds of this run before `since`. */
  ran_ms: number
}

type Verb = 'start' | 'stop' | 'pause' | 'resume'

/** The state after a verb; null when the verb changes nothing in this state. */
export function after(verb: Verb, { status, runs, since, ran_ms }: Run, now: number): Run | null {
  const ran = ran_ms + (since === null ? 0 : now - since)
  if (verb === 'start')
    return status === 'stopped' ? { status: 'running', runs: runs + 1, since: now, ran_ms: 0 } : null
  if (verb === 'stop') return status === 'stopped' ? null : { status: 'stopped', runs, since: null, ran_ms: 0 }
  if (verb === 'pause') return status === 'running' ? { status: 'paused', runs, since: null, ran_ms: ran } : null
  return status === 'paused' ? { status: 'running', runs, since: now, ran_ms } : null
}

/** Seconds that a guest or container has run since its last start. */
export const ranSeconds = ({ since, ran_ms }: Run, now: number): number =>
  (ran_ms + (since === null ? 0 : now - since)) / 1000

/** A number from 0 to 1 that follows from a text and a word. FNV-1a, with the mixing step of MurmurHash3. */
export function fraction(text: string, word: string): number {
  let hash = 0x811c9dc5
  for (const character of `${text} ${word}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

/** Wave of a load: its period in seconds, and its phase. */
const waveOf = (id: string) => ({
  period: 180 + 1500 * fraction(id, 'period'),
  phase: 2 * Math.PI * fraction(id, 'phase'),
})

/**
 * Load of a thing, summed over a time: the integral of mean × (1 + 0.8 sin), which never falls.
 * @param seconds since the start
 */
function worked(id: string, mean: number, seconds: number): number {
  const { period, phase } = waveOf(id)
  const turn = (2 * Math.PI) / period
  return mean * (seconds + (0.8 / turn) * (Math.cos(phase) - Math.cos(turn * seconds + phase)))
}

/** The counters and gauges of a thing after so many seconds of its run: most things are idle, a few are busy. */
export function activityOf(id: string, seconds: number, { cpus, memoryBytes }: { cpus: number; memoryBytes: number }) {
  const busy = 0.02 + 0.7 * fraction(id, 'busy') ** 4
  const { period, phase } = waveOf(id)
  const used = 0.2 + 0.5 * fraction(id, 'memory') + 0.1 * Math.sin((2 * Math.PI * seconds) / period + phase)
  const bytes = (word: string, most: number) => Math.round(worked(id, most * fraction(id, word) ** 3, seconds))
  const [read, written] = [bytes('read', 8e6), bytes('written', 4e6)]
  return {
    cpu_seconds: Math.round(worked(id, cpus * busy, seconds) * 1e6) / 1e6,
    memory_used_bytes: Math.round(memoryBytes * used),
    memory_rss_bytes: Math.round(memoryBytes * Math.min(1, used + 0.1)),
    disk_read_bytes: read,
    disk_written_bytes: written,
    disk_reads: Math.round(read / 16_384),
    disk_writes: Math.round(written / 8192),
    network_received_bytes: bytes('received', 12e6),
    network_sent_bytes: bytes('sent', 9e6),
  }
}
