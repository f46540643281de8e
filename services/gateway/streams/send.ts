import type { WebSocket } from 'ws'
import type { Session } from '../sessions/sessions.ts'

/** More than this waiting for a client stops the source of its stream. Bytes. */
const highBytes = 262_144
const lookEveryMs = 10

export function sendTo(browser: WebSocket, data: Buffer | string): void {
  if (browser.readyState === browser.OPEN) browser.send(data, { binary: typeof data !== 'string' })
}

/** Resolves when a client has read so much that more can be sent, or all; or when the session is over. */
export async function isSent(browser: WebSocket, session: Session, isAll: boolean): Promise<void> {
  const most = isAll ? 0 : highBytes
  while (browser.bufferedAmount > most && browser.readyState === browser.OPEN && session.isOpen())
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
}
