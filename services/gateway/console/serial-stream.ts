import type { Endpoint, Opened } from '#shared/contracts/vm/consoles.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Host, HostProcess } from '#shared/nodes/host/host.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { takeLane } from './lanes.ts'
import { type SerialInput, serialInput } from './serial-input.ts'

type Serial = Endpoint & { kind: 'serial' }
/** Somebody who sees what a guest writes. */
export type Reader = { data: (chunk: Buffer) => void; gone: (error: Error) => void }

/** Output of one guest's serial console, read once for all its viewers. */
export type SerialStream = {
  /** Begins with the last 64 KiB. @returns what ends it */
  join: (reader: Reader) => () => void
  /** The last 64 KiB, for somebody who has missed something. */
  history: () => Buffer
  input: SerialInput | null
}

const historyBytes = 65_536
const roomWithinMs = 5000

const streams = new Map<string, Promise<SerialStream>>()

/** The stream of a guest, begun by the first who asks and ended with the last who leaves. @throws UnavailableError */
export function serialStream(reached: Reached, { vm_id, node }: Opened, endpoint: Serial): Promise<SerialStream> {
  const key = JSON.stringify([vm_id, node, endpoint])
  const known = streams.get(key)
  if (known) return known
  const forget = () => {
    if (streams.get(key) === made) streams.delete(key)
  }
  const made = begin(reached, endpoint, forget)
  streams.set(key, made)
  made.catch(forget)
  return made
}

async function begin({ node, host }: Reached, { log, input }: Serial, forget: () => void): Promise<SerialStream> {
  const lane = takeLane(node)
  const process = await follow(lane.host, log).catch((error: unknown) => {
    lane.release()
    throw error
  })
  const typing = input && serialInput(() => host.openSocket(input))
  const readers = new Set<Reader>()
  let history: Buffer = Buffer.alloc(0)

  let isOver = false
  const end = () => {
    if (isOver) return
    isOver = true
    forget()
    typing?.close()
    void process.kill().finally(lane.release)
  }
  const fail = (error: Error) => {
    end()
    for (const reader of readers) reader.gone(error)
    readers.clear()
  }
  process.stdout.on('data', (chunk: Buffer) => {
    // A copy, since a part of a large chunk would keep all of it.
    history = Buffer.from(Buffer.concat([history, chunk]).subarray(-historyBytes))
    for (const reader of readers) reader.data(chunk)
  })
  const cannotRead = () => new UnavailableError(`The serial console on ${host.describe()} cannot be read any more`)
  const over = () => fail(cannotRead())
  process.exit.then(over, fail)

  const leaveIfUnused = () => {
    if (readers.size === 0) end()
  }
  // The viewer may have gone before joining.
  setTimeout(leaveIfUnused, roomWithinMs).unref()
  return {
    join: (reader) => {
      if (isOver) {
        reader.gone(cannotRead())
        return () => undefined
      }
      if (history.length > 0) reader.data(history)
      readers.add(reader)
      return () => {
        if (readers.delete(reader)) leaveIfUnused()
      }
    },
    history: () => history,
    input: typing,
  }
}

/** Follows a log, also when a new one takes its place. Over SSH only so many programs fit on one connection. */
async function follow(host: Host, log: string): Promise<HostProcess> {
  const waiting = new AbortController()
  const timer = setTimeout(
    () => waiting.abort(new UnavailableError(`${host.describe()} has no room for another stream now`)),
    roomWithinMs,
  )
  try {
    return await host.spawn('tail', ['-c', String(historyBytes), '-F', '--', log], { signal: waiting.signal })
  } finally {
    clearTimeout(timer)
  }
}
