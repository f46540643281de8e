import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'

/** More than this waiting for a browser stops its source; less than that lets it go on. Bytes. */
const highBytes = 1_048_576
const lowBytes = 262_144

/**
 * Joins a browser with a socket, as fast as the slower one: neither end can have more than about 1 MiB waiting here.
 * @param gone called once when the socket has ended, with the error if it failed
 */
export function pump(browser: WebSocket, source: Duplex, gone: (error?: Error) => void): void {
  let isGone = false
  const end = (error?: Error) => {
    if (isGone) return
    isGone = true
    gone(error)
  }
  const sent = () => {
    if (source.isPaused() && browser.bufferedAmount < lowBytes) source.resume()
  }
  source.on('data', (chunk: Buffer) => {
    if (browser.readyState !== browser.OPEN) return
    browser.send(chunk, { binary: true }, sent)
    if (browser.bufferedAmount > highBytes) source.pause()
  })
  source.once('end', () => end())
  source.once('error', end)
  source.once('close', () => end())
  browser.on('message', (data) => {
    if (source.destroyed || source.writableEnded) return
    // Messages come as one Buffer unless another binaryType is asked for.
    if (source.write(data as Buffer)) return
    browser.pause()
    source.once('drain', () => browser.resume())
  })
}
