import { hasGone } from '#shared/alive.ts'
import { log } from '#shared/log.ts'
import { tickets } from './models.ts'
import { close } from './tickets.ts'

const sweepEveryMs = 5000
/** What has become of a ticket can be asked for so long. */
const keptMs = 24 * 3_600_000

/** Closes what a gateway held that has gone, and forgets what is old. */
async function sweep(): Promise<void> {
  const open = await tickets.all({ opened_at: { $ne: null }, closed_at: null })
  const gateways = new Set(open.map(({ gateway }) => gateway))
  for (const gateway of gateways) {
    if (gateway === null || !(await hasGone(gateway))) continue
    for (const { id } of open.filter((ticket) => ticket.gateway === gateway))
      await close(id, 'The gateway that held it has gone')
  }
  const old = new Date(Date.now() - keptMs).toISOString()
  await tickets.removeWhere({
    $or: [{ closed_at: { $lt: old } }, { opened_at: null, created_at: { $lt: old } }],
  })
}

/** @returns a function that stops it */
export function sweepConsoles(): () => void {
  let isAtWork = false
  const timer = setInterval(() => {
    if (isAtWork) return
    isAtWork = true
    sweep()
      .catch((error: Error) => log('consoles').warn({ err: error }, 'consoles could not be swept'))
      .finally(() => (isAtWork = false))
  }, sweepEveryMs)
  return () => clearInterval(timer)
}
