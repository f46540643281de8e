import { v7 } from 'uuid'
import type { NatsConnection } from 'nats'
import { bus, isBusConnected, listen, onBusChange } from '#shared/bus/bus.ts'
import { becomeDeaf, flushBus } from '#shared/db/cache/barrier.ts'
import { UnavailableError } from '#shared/errors.ts'
import { changeSubjects } from '#shared/bus/identity/subjects.ts'

const { changing, changed } = changeSubjects

/** A change of one record, or without an id of any number of them. */
export type Change = { token: string; id: string | null }

const textOf = ({ token, id }: Change) => `${token}\n${id ?? ''}`
function changeOf(text: string): Change {
  const [token = '', id = ''] = text.split('\n')
  return { token, id: id === '' ? null : id }
}

/**
 * Runs a write with two notices to the caches: one before, so that a process that dies in between has announced it, and
 * one after. When the promise settles the bus has both, before any answer or event that follows from the write. If the
 * result of a write is unknown, the second notice is not sent; caches treat the write as open for a limited time.
 */
export async function announced<T>(collection: string, id: string | null, write: () => Promise<T>): Promise<T> {
  const change = { token: v7(), id }
  say(changing, collection, change)
  try {
    const result = await write()
    say(changed, collection, change)
    return result
  } catch (error) {
    if (!(error instanceof UnavailableError)) say(changed, collection, change)
    throw error
  } finally {
    // Without a bus no cache is used, see cache-barrier.ts.
    await flushBus()
  }
}

/** Records that this process has changed; their notices may have been lost while the bus was away. */
const written = new Set<string>()
let isWatching = false

function say(subject: string, collection: string, change: Change): void {
  written.add(collection)
  const nats = connection()
  if (!nats) return
  if (!isWatching) onBusChange((change) => change === 'back' && sayAgain())
  isWatching = true
  if (isBusConnected()) nats.publish(`${subject}.${collection}`, textOf(change))
}

/** The process's connection, whole or broken. */
function connection(): NatsConnection | undefined {
  try {
    return bus().nats
  } catch {
    return undefined
  }
}

function sayAgain(): void {
  for (const collection of written) connection()?.publish(`${changed}.${collection}`, textOf({ token: '', id: null }))
}

type Heard = (collection: string, change: Change) => void

/** Hears which collections have changed. @returns a function that stops it */
export const onChange = (heard: Heard): (() => void) => follow(changed, heard)

/** Hears which collections are about to change. @returns a function that stops it */
export const onChanging = (heard: Heard): (() => void) => follow(changing, heard)

const follow = (subject: string, heard: Heard): (() => void) =>
  listen(
    `${subject}.*`,
    (message) => heard(message.subject.slice(subject.length + 1), changeOf(message.string())),
    becomeDeaf,
  )
