import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'

/** A way through TCP on which a test cuts connections, at any byte. */
export type Cutter = {
  url: string
  /** Lets so many more bytes of the server through, then both sides find the connection broken. */
  cutAfter: (bytes: number) => void
  stop: () => void
}

type Line = { left: number; cut: () => void; pass: (part: Buffer) => void }

/** @param next the port that the next connection goes to */
export async function startCutter(next: () => number): Promise<Cutter> {
  const lines = new Set<Line>()
  const server = createServer((client) => {
    const upstream = connect(next(), '127.0.0.1')
    const line = lineOf(client, upstream)
    lines.add(line)
    const end = () => {
      line.cut()
      lines.delete(line)
    }
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
    client.pipe(upstream)
    upstream.on('data', line.pass)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    cutAfter: (bytes) => {
      for (const line of lines) {
        line.left = bytes
        if (bytes === 0) line.cut()
      }
    },
    stop: () => {
      server.close()
      for (const line of lines) line.cut()
    },
  }
}

function lineOf(client: Socket, upstream: Socket): Line {
  const cut = () => {
    client.destroy()
    upstream.destroy()
  }
  const line: Line = {
    left: Infinity,
    cut,
    pass: (part) => {
      if (line.left === 0) return
      const passed = part.subarray(0, line.left)
      line.left -= passed.length
      // The bytes let through arrive before the connection breaks.
      if (line.left > 0) client.write(passed)
      else client.write(passed, cut)
    },
  }
  return line
}
