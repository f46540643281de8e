import { call } from '#shared/bus/call.ts'
import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import { containerStreams } from '#shared/contracts/container/streams.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'

const waitSeconds = 2
const answerWithinMs = 20_000
/** The engine may have to write a copy before it answers. */
const openWithinMs = 60_000

/**
 * Reads a part of the files of a container as a tar archive.
 * @throws ConflictError when its engine could not read all of it, UnavailableError when its replica has gone
 */
export async function* readContainer(id: string, place: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { stream_id, replica } = await call(containerArchives, 'open', { id, place }, { timeoutMs: openWithinMs })
  const there = { replica, timeoutMs: answerWithinMs }
  try {
    for (;;) {
      signal.throwIfAborted()
      const { parts, end } = await call(containerStreams, 'read', { stream_id, wait: waitSeconds }, there)
      for (const { data } of parts) yield Buffer.from(data, 'base64')
      if (!end) continue
      if (end.reason === 'lost')
        throw new ConflictError(`The files of container '${id}' could not be read to their end`)
      return
    }
  } finally {
    const ended = { ticket_id: stream_id, reason: 'The backup has ended' }
    await call(containerStreams, 'close', ended, there).catch((error: unknown) => {
      if (!(error instanceof UnavailableError)) throw error
    })
  }
}
