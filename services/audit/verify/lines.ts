/** Limit of a line, far above the size of a record. Longer lines are skipped, not buffered. */
export const maxLineBytes = 2 ** 20
const newline = 0x0a

/** Splits a stream of bytes into lines; null stands for a line above the limit. */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string | null> {
  let parts: Buffer[] = []
  let bytes = 0
  const take = (part: Buffer) => {
    bytes += part.length
    if (bytes <= maxLineBytes) parts.push(part)
    else parts = []
  }
  const whole = () => {
    const line = bytes > maxLineBytes ? null : Buffer.concat(parts).toString('utf8')
    parts = []
    bytes = 0
    return line
  }
  for await (const chunk of chunks) {
    let at = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, at)) {
      take(chunk.subarray(at, end))
      at = end + 1
      yield whole()
    }
    take(chunk.subarray(at))
  }
  if (bytes > 0) yield whole()
}
