import type { WebSocket } from 'ws'
import { type Closing, shortReason } from './closing.ts'

const closeWithinMs = 2000
const aliveEveryMs = 30_000

/** Closes a WebSocket; one that does not answer the close frame is cut off. */
export function closeBrowser(browser: WebSocket, { code, reason }: Closing): void {
  browser.resume()
  browser.close(code, shortReason(reason))
  const timer = setTimeout(() => browser.terminate(), closeWithinMs).unref()
  browser.once('close', () => clearTimeout(timer))
}

/** A browser that has gone without a word is noticed when it does not answer. */
export function keepAlive(browser: WebSocket, onEnd: (stop: () => void) => void): void {
  let isAnswering = true
  browser.on('pong', () => (isAnswering = true))
  const timer = setInterval(() => {
    // One that we do not read from cannot answer.
    if (browser.isPaused) return
    if (!isAnswering) return browser.terminate()
    isAnswering = false
    browser.ping()
  }, aliveEveryMs)
  onEnd(() => clearInterval(timer))
}
