import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnavailableError } from '#shared/errors.ts'
import type { SocketTarget } from '#shared/nodes/host/host.ts'
import { reach } from '#shared/nodes/nodes.ts'

const tryForMs = 1000
const againAfterMs = 50

/**
 * Opens a guest's display on its node. QEMU refuses a connection while it greets another viewer, so the attempt is
 * repeated.
 * @throws UnavailableError when the display does not answer within a second
 */
export async function openDisplay(node: string, socket: SocketTarget): Promise<Duplex> {
  const { host } = await reach(node)
  const until = performance.now() + tryForMs
  for (;;) {
    try {
      return await host.openSocket(socket)
    } catch (error) {
      if (!(error instanceof UnavailableError) || performance.now() >= until) throw error
    }
    await sleep(againAfterMs)
  }
}
