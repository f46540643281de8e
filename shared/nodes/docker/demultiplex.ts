/** A piece of output. `stream`: 1 standard output, 2 standard error. */
export type Output = { stream: 1 | 2; bytes: Buffer }
/** A piece of a frame; the first one of each frame says so. */
export type Piece = Output & { isFirst: boolean }

/** Length of a frame's header: type, three zeros, length of the payload as u32 big endian (Docker API, "Attach"). */
const headerBytes = 8

/**
 * Splits the multiplexed stream of Docker and Podman into its pieces, in linear time and without keeping a frame: the pieces
 * of a chunk are passed on together as they come. Frames of type 0 (echoed input) count as standard output, those of type 3
 * (an error of the engine) as standard error.
 */
export async function* demultiplex(source: AsyncIterable<Buffer>): AsyncGenerator<Piece[]> {
  const header = Buffer.alloc(headerBytes)
  let headerLength = 0
  let left = 0
  let stream: 1 | 2 = 1
  let isFirst = true
  for await (const chunk of source) {
    const pieces: Piece[] = []
    let at = 0
    while (at < chunk.length) {
      if (left === 0) {
        const taken = Math.min(headerBytes - headerLength, chunk.length - at)
        chunk.copy(header, headerLength, at, at + taken)
        headerLength += taken
        at += taken
        if (headerLength < headerBytes) continue
        headerLength = 0
        stream = header[0]! >= 2 ? 2 : 1
        left = header.readUInt32BE(4)
        isFirst = true
        continue
      }
      const taken = Math.min(left, chunk.length - at)
      left -= taken
      pieces.push({ stream, bytes: chunk.subarray(at, at + taken), isFirst })
      isFirst = false
      at += taken
    }
    if (pieces.length > 0) yield pieces
  }
}
