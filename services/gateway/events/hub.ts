import type { Topic } from '#shared/contracts/core/events.ts'
import { eventsAfter, followEvents, streamExtent } from '#shared/events/stream.ts'
import { histogram } from '#shared/runtime/measures.ts'
import { log } from '#shared/runtime/log.ts'
import type { Audience } from './audience.ts'
import { type Control, controlBytes, type Frame, frameOf, type Medium } from './frame.ts'
import type { Outlet } from './outlet.ts'
import { createVersionCheck } from './outdated.ts'
import { createRing } from './ring.ts'

/** A subscriber: its connection, its topics, and the position up to which it has received everything. */
export type Reader = {
  medium: Medium
  outlet: Outlet
  topics: ReadonlySet<Topic>
  audience: Audience
  /** While it is live the hub's own place counts. */
  seq: number
  state: 'waiting' | 'catching-up' | 'live' | 'gone'
  /** Counts the beginnings of catching up, so that one that was interrupted ends. */
  turn: number
  /** Events were lost while it was given nothing: its place means nothing any more. */
  isLost?: boolean
}

/** Live readers who are all given the same bytes. */
type Channel = { readers: Set<Reader>; sample: Reader }

const lag = histogram('horcrux_event_lag_seconds', 'From the event to the gateway, by topic')

const ringFrames = 20_000
const ringBytes = 48 * 1_048_576
const batchMs = 20
const pieceBytes = 131_072
const burstBytes = 262_144
const paceMs = 5

export type Hub = Awaited<ReturnType<typeof createHub>>

/**
 * Gives every event of the stream to every reader who may have it: in order, once, without holes. Events with a lower version
 * of an operation than was told before are left out.
 */
export async function createHub() {
  const ring = createRing(ringFrames, ringBytes)
  const channels = new Map<string, Channel>()
  const readers = new Set<Reader>()
  const pending: Frame[] = []
  let timer: NodeJS.Timeout | undefined
  /** Everything up to here was given to the live readers. */
  let sent = 0
  let arrivals = Promise.withResolvers<void>()
  const isOutdated = createVersionCheck()

  const say = (reader: Reader, type: Control, data: unknown) =>
    reader.outlet.write(controlBytes(reader.medium, placeOf(reader), type, data))
  const placeOf = ({ state, seq }: Reader) => (state === 'live' ? sent : seq)

  /** Takes the frames of one flush. Caps it, so that a healthy client is not dropped as slow after a burst. */
  const nextPiece = (): Frame[] => {
    let count = 0
    for (let bytes = 0; count < pending.length && bytes < burstBytes; count++) bytes += pending[count]!.bytes.ws.length
    return pending.splice(0, count)
  }

  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    const frames = nextPiece()
    if (frames.length === 0) return
    // Set before the writes: a subscriber that is dropped as slow during them has been given all of it.
    sent = frames.at(-1)!.seq
    for (const { readers: live, sample } of channels.values()) {
      const bytes = bytesFor(sample, frames)
      if (bytes) for (const reader of live) reader.outlet.write(bytes)
    }
    arrivals.resolve()
    arrivals = Promise.withResolvers()
    if (pending.length > 0) timer = setTimeout(flush, paceMs)
  }
  const flushAll = () => {
    do flush()
    while (pending.length > 0)
  }

  const restart = (seq: number) => {
    flushAll()
    ring.clear(seq)
    sent = seq
    for (const reader of readers) {
      if (reader.state === 'waiting') reader.isLost = true
      else resync(reader, 'Events were lost')
    }
  }

  const follower = followEvents({
    before: ringFrames,
    event: (placed) => {
      lag({ topic: placed.event.topic }, Math.max(0, Date.now() - Date.parse(placed.event.time)) / 1000)
      const frame = frameOf(placed, isOutdated(placed.event))
      ring.push(frame)
      pending.push(frame)
      timer ??= setTimeout(flush, batchMs)
    },
    lost: restart,
  })

  const goLive = (reader: Reader) => {
    reader.state = 'live'
    const key = channelKey(reader)
    const channel = channels.get(key) ?? { readers: new Set(), sample: reader }
    channel.readers.add(reader)
    channels.set(key, channel)
  }

  /** Takes a reader out of its channel, and remembers where it was. */
  const leaveChannel = (reader: Reader) => {
    if (reader.state !== 'live') return
    const key = channelKey(reader)
    const channel = channels.get(key)
    channel?.readers.delete(reader)
    if (channel?.readers.size === 0) channels.delete(key)
    else if (channel?.sample === reader) channel.sample = [...channel.readers][0]!
    reader.seq = sent
    reader.state = 'waiting'
  }

  const resync = (reader: Reader, reason: string) => {
    leaveChannel(reader)
    reader.isLost = false
    reader.seq = sent
    say(reader, 'Resync', { reason })
    goLive(reader)
  }

  /** True if the stream still has every event after a position. */
  const isKept = async (seq: number) => {
    if (seq >= ring.start() && seq <= sent) return true
    const { first, last } = await streamExtent()
    return seq + 1 >= first && seq <= last
  }

  const give = (reader: Reader, frames: Frame[]) => {
    const bytes = bytesFor(reader, frames)
    reader.seq = frames.at(-1)?.seq ?? reader.seq
    if (bytes) reader.outlet.write(bytes)
  }

  type Going = (reader: Reader, isMine: () => boolean) => Promise<boolean>

  /** Sends events that have left the ring, from the stream. @returns false to stop */
  const giveOld: Going = async (reader, isMine) => {
    const isOld = createVersionCheck()
    for await (const placed of eventsAfter(reader.seq)) {
      if (!(await reader.outlet.ready()) || !isMine()) return false
      const frames = placed.map((one) => frameOf(one, isOld(one.event))).filter(({ seq }) => seq <= sent)
      give(reader, frames)
      if (frames.length < placed.length || reader.seq >= ring.start()) return true
    }
    return true
  }

  const giveNew: Going = async (reader, isMine) => {
    if (!(await reader.outlet.ready()) || !isMine()) return false
    if (reader.seq < ring.start()) return true
    const frames = ring.after(reader.seq, pieceBytes)
    give(
      reader,
      frames.filter(({ seq }) => seq <= sent),
    )
    return true
  }

  const catchUp = async (reader: Reader): Promise<void> => {
    const { turn } = reader
    const isMine = () => reader.state === 'catching-up' && reader.turn === turn
    if (!(await isKept(reader.seq))) {
      if (isMine()) resync(reader, 'These events are no longer kept')
      return
    }
    // Another gateway may have been faster than this one.
    while (isMine() && reader.seq > sent) await arrivals.promise
    while (isMine() && reader.seq < sent) {
      const from = reader.seq < ring.start() ? giveOld : giveNew
      if (!(await from(reader, isMine))) return
    }
    if (isMine()) goLive(reader)
  }

  /** Begins, or goes on, to give a reader what comes after its place. */
  const resume = (reader: Reader) => {
    if (reader.state !== 'waiting') return
    if (reader.isLost) return resync(reader, 'Events were lost')
    if (reader.seq === sent) return goLive(reader)
    reader.state = 'catching-up'
    const turn = ++reader.turn
    catchUp(reader).catch((error: Error) => {
      log('gateway').debug({ err: error }, 'a subscriber could not catch up; it is tried again')
      if (reader.state !== 'catching-up' || reader.turn !== turn) return
      reader.state = 'waiting'
      setTimeout(() => readers.has(reader) && resume(reader), 500).unref()
    })
  }

  await follower.ready
  flushAll()
  return {
    say,
    resume,
    /** Position of a subscriber, or of one that begins now. */
    place: (reader?: Reader) => (reader ? placeOf(reader) : sent),
    /** The place before the oldest event that is kept. */
    oldest: async () => (await streamExtent()).first - 1,
    add: (reader: Reader) => void readers.add(reader),
    /** Sends a subscriber no events until `resume`; its place in the stream is kept. */
    pause: (reader: Reader) => {
      leaveChannel(reader)
      if (reader.state === 'catching-up') reader.state = 'waiting'
    },
    remove: (reader: Reader) => {
      leaveChannel(reader)
      reader.state = 'gone'
      readers.delete(reader)
    },
    stop: () => {
      clearTimeout(timer)
      follower.stop()
    },
  }
}

const channelKey = ({ medium, topics, audience }: Reader) =>
  `${medium}\n${[...topics].toSorted().join()}\n${audience.key}`

/** Joins the frames that this subscriber may have into one buffer. */
function bytesFor({ medium, topics, audience }: Reader, frames: Frame[]): Buffer | undefined {
  const wanted = frames.filter((frame) => !frame.isOutdated && topics.has(frame.topic) && audience.mayReceive(frame))
  if (wanted.length === 0) return undefined
  return wanted.length === 1 ? wanted[0]!.bytes[medium] : Buffer.concat(wanted.map(({ bytes }) => bytes[medium]))
}
