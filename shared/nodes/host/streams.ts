import type { Readable } from 'node:stream'

/**
 * Resolves when a flowing stream has ended or was silent for `graceMs`: a daemon left by the program may hold the pipe
 * open for ever.
 */
export function drained(stream: Readable, graceMs = 500): Promise<void> {
  if (stream.readableEnded || stream.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(done, graceMs)
    const touch = () => void timer.refresh()
    function done() {
      clearTimeout(timer)
      stream.off('data', touch).off('end', done).off('close', done)
      resolve()
    }
    stream.on('data', touch).once('end', done).once('close', done)
  })
}

/** Collects the last `maxBytes` of a stream, and keeps it flowing. */
export function collectTail(stream: Readable, maxBytes: number): () => string {
  let chunks: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size <= 2 * maxBytes) return
    const tail = Buffer.concat(chunks).subarray(-maxBytes)
    chunks = [Buffer.from(tail)]
    size = tail.length
  })
  return () => Buffer.concat(chunks).subarray(-maxBytes).toString()
}
