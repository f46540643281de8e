import { Type } from 'typebox'
import type { WebSocket } from 'ws'
import { strict } from '#shared/contracts/common.ts'
import { containerStreams, Terminal } from '#shared/contracts/container/streams.ts'
import { check } from '#shared/contract/validate.ts'
import { AppError, BadRequestError } from '#shared/errors.ts'
import { codes } from '../sessions/closing.ts'
import type { Session } from '../sessions/sessions.ts'
import type { RemoteStream } from './remote.ts'
import { isSent, sendTo } from './send.ts'

const { signal } = containerStreams.actions.control.params.properties
/** A text from the client: one of these, or several. */
const Message = strict({
  resize: Type.Optional(Terminal),
  signal,
  end_input: Type.Optional(Type.Literal(true)),
})

/**
 * Joins a client's WebSocket with a command or a console. Binary messages of the client are input as it is, texts are JSON.
 * To the client, binary messages begin with a byte: 1 output, 2 errors; the last text has the exit code.
 */
export function attachProcess(browser: WebSocket, session: Session, stream: RemoteStream): void {
  void show(browser, session, stream).catch((error: Error) => session.end(endedBy(error)))
  let queue: Promise<unknown> = Promise.resolve()
  let waiting = 0
  browser.on('message', (data, isBinary) => {
    // Messages come as one Buffer unless another binaryType is asked for.
    const message = data as Buffer
    waiting++
    browser.pause()
    queue = queue
      .then(() => (isBinary ? give(stream, session, message) : obey(stream, message)))
      .catch((error: Error) => {
        if (error instanceof AppError && error.status < 500) return sendTo(browser, JSON.stringify(told(error)))
        return session.end(endedBy(error))
      })
      .finally(() => {
        if (--waiting === 0) browser.resume()
      })
  })
}

const endedBy = (error: Error) => ({
  code: error instanceof AppError && error.status === 404 ? codes.gone : codes.unavailable,
  reason: error instanceof AppError ? error.message : 'The stream broke off',
})
const told = ({ error, message }: AppError) => ({ error, message })

/** Shows output as fast as the client reads it, to its last byte. */
async function show(browser: WebSocket, session: Session, stream: RemoteStream): Promise<void> {
  while (session.isOpen()) {
    const { pieces, end } = await stream.read()
    for (const { stream: number, bytes } of pieces) sendTo(browser, Buffer.concat([Buffer.of(number), bytes]))
    if (end) sendTo(browser, JSON.stringify(end))
    await isSent(browser, session, end !== null)
    if (!end) continue
    session.end({ code: 1000, reason: 'It has ended' })
  }
}

/** Gives input, and waits while it is not read. */
async function give(stream: RemoteStream, session: Session, bytes: Buffer): Promise<void> {
  let isReady = await stream.write(bytes, false)
  while (!isReady && session.isOpen()) isReady = await stream.isReady()
}

async function obey(stream: RemoteStream, text: Buffer): Promise<void> {
  const { end_input, ...wanted } = check<{ end_input?: true }>(Message, parsed(text))
  if (Object.keys(wanted).length > 0) await stream.control(wanted)
  if (end_input) await stream.write(Buffer.alloc(0), true)
}

function parsed(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'))
  } catch (error) {
    throw new BadRequestError(`The message is not valid JSON: ${(error as Error).message}`, { cause: error })
  }
}
