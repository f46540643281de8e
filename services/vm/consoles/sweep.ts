import { hasGone } from '#shared/bus/liveness.ts'
import { every } from '#shared/runtime/repeat.ts'
import { markIncomplete, tickets } from './models.ts'
import { close } from './tickets.ts'

const sweepEveryMs = 5000
/** Retention of used tickets. */
const keptMs = 24 * 3_600_000

/** Closes the consoles of gateways that have gone, and removes old tickets. */
async function sweep(): Promise<void> {
  const open = await tickets.all({ opened_at: { $ne: null }, closed_at: null })
  const gateways = new Set(open.map(({ gateway }) => gateway))
  for (const gateway of gateways) {
    if (gateway === null || !(await hasGone(gateway))) continue
    for (const { id, recording_id } of open.filter((ticket) => ticket.gateway === gateway)) {
      if (recording_id !== null) await markIncomplete(recording_id, 'Its gateway has gone: its end may be missing')
      await close(id, 'The gateway that held it has gone')
    }
  }
  const old = new Date(Date.now() - keptMs).toISOString()
  await tickets.removeWhere({
    $or: [{ closed_at: { $lt: old } }, { opened_at: null, created_at: { $lt: old } }],
  })
}

/** @returns a function that stops it */
export const sweepConsoles = (): (() => void) =>
  every(sweepEveryMs, sweep, { part: 'consoles', failed: 'consoles could not be swept' })
