import type { Readable, Writable } from 'node:stream'
import { deserialize, serialize } from 'node:v8'

const lengthBytes = 4

/** Writes a value to a pipe between two processes of the same Node: its length, then its structured clone. */
export function writeFrame(to: Writable, value: unknown): void {
  const body = serialize(value)
  const length = Buffer.alloc(lengthBytes)
  length.writeUInt32LE(body.length)
  to.write(Buffer.concat([length, body]))
}

/** Calls `take` with each value of a pipe that {@link writeFrame} fills. */
export function readFrames(from: Readable, take: (value: unknown) => void): void {
  let chunks: Buffer[] = []
  let size = 0
  let wanted = lengthBytes
  from.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size < wanted) return
    let rest = Buffer.concat(chunks)
    while (rest.length >= lengthBytes) {
      const end = lengthBytes + rest.readUInt32LE()
      if (rest.length < end) break
      take(deserialize(rest.subarray(lengthBytes, end)))
      rest = rest.subarray(end)
    }
    wanted = rest.length < lengthBytes ? lengthBytes : lengthBytes + rest.readUInt32LE()
    chunks = [rest]
    size = rest.length
  })
}
