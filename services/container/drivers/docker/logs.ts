import { setTimeout as delay } from 'node:timers/promises'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import { demultiplex, type Piece } from '#shared/nodes/docker/demultiplex.ts'
import type { DockerKind } from '#shared/nodes/docker/engine.ts'
import { linesOf, type LogLine, type TimedLogs } from '../log-lines.ts'

type How = Parameters<TimedLogs['lines']>[1]

/** Podman's own tail leaves out a last line without a line break. */
const hasTail: Record<DockerKind, boolean> = { docker: true, podman: false }

/** The lines of a container's log (Docker API, ContainerLogs). */
export async function* logLines(
  kind: DockerKind,
  api: () => Promise<DockerApi>,
  engineId: string,
  { sinceSeconds, tailFragments }: How,
): AsyncGenerator<LogLine[]> {
  const on = await api()
  const { Config } = await on.ask((docker) => docker.getContainer(engineId).inspect())
  const query = new URLSearchParams({ stdout: '1', stderr: '1', timestamps: '1' })
  if (sinceSeconds !== null) query.set('since', String(sinceSeconds))
  if (tailFragments !== null && hasTail[kind]) query.set('tail', String(tailFragments))
  const { socket } = await on.stream({ method: 'GET', path: `/containers/${engineId}/logs?${query}` })
  // A socket yields buffers unless it is given an encoding.
  const bytes = gathered(socket as AsyncIterable<Buffer>)
  try {
    yield* linesOf(Config.Tty ? linewise(bytes) : demultiplex(bytes))
  } finally {
    socket.destroy()
  }
}

/** A smaller chunk is a few lines of a stream that goes on. */
const smallBytes = 16 * 2 ** 10
/** A short log has fewer chunks, and is read without delay. */
const firstChunks = 8

/**
 * Reads a stream in larger chunks: an engine writes each line by itself, and a reader as fast as it would be woken for each.
 * After a small chunk the next one waits for a millisecond.
 */
async function* gathered(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let count = 0
  for await (const chunk of source) {
    yield chunk
    if (++count > firstChunks && chunk.length < smallBytes) await delay(1)
  }
}

/** The stream of a terminal has no frames: each line is taken for one. */
async function* linewise(source: AsyncIterable<Buffer>): AsyncGenerator<Piece[]> {
  let isFirst = true
  for await (const chunk of source) {
    const pieces: Piece[] = []
    for (let at = 0; at < chunk.length;) {
      const end = chunk.indexOf(0x0a, at) + 1 || chunk.length
      pieces.push({ stream: 1, bytes: chunk.subarray(at, end), isFirst })
      isFirst = chunk[end - 1] === 0x0a
      at = end
    }
    yield pieces
  }
}
