import { call } from '#shared/bus/call.ts'
import type { ChannelState } from '#shared/contracts/cluster/node-health.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { AppError, UnavailableError } from '#shared/errors.ts'
import { parsePinnedKey } from '#shared/nodes/host/ssh/host-key.ts'
import { scanHostKey } from '#shared/nodes/host/ssh/ssh.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import { clockOf, type Found, found, unasked } from './channels.ts'

const words = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Reaches the host. A host key that is not the pinned one is shown beside it. */
export async function hostChannel({ host }: Pick<Reached, 'host'>): Promise<Found> {
  try {
    await host.stat('/proc/version')
    return found('host', 'host', null)
  } catch (error) {
    return { ...found('host', 'host', words(error)), changed_host_key: changedKeyIn(error) }
  }
}

/**
 * Compares the key that a host shows to new connections with the pinned one: a connection of before goes on with a key that
 * was replaced since, and the next one would be refused.
 */
export async function shownKeyChannel({ node, host }: Pick<Reached, 'node' | 'host'>): Promise<Found | null> {
  if (node.kind === 'local') return null
  const shown = await scanHostKey(node.address, node.port).catch(() => null)
  const pinned = parsePinnedKey(node.host_key).fingerprint
  if (shown === null || shown.fingerprint === pinned) return null
  const reason = `${host.describe()} shows the ${shown.type} key ${shown.fingerprint} to new connections, not the pinned one ${pinned}; the open connection goes on`
  return { ...found('host', 'host', reason), status: 'warning', changed_host_key: { pinned, shown: shown.fingerprint } }
}

function changedKeyIn(error: unknown): ChannelState['changed_host_key'] {
  if (!(error instanceof UnavailableError)) return null
  const { reason, expected: pinned, shown } = error.details
  return reason === 'host_key' && typeof pinned === 'string' && typeof shown === 'string' ? { pinned, shown } : null
}

/** Compares the clock of a node with this machine's, in the middle of the time that the answer took. */
export async function clockChannel(host: Pick<Host, 'run'>): Promise<Found> {
  try {
    const [wall, begin] = [Date.now(), performance.now()]
    const { stdout } = await host.run('date', ['+%s.%N'], { timeoutMs: 5000 })
    const tookMs = performance.now() - begin
    const theirs = Number(stdout.trim()) * 1000
    if (!Number.isFinite(theirs)) return unasked('clock', 'clock', `date answered: ${stdout.slice(0, 100)}`)
    return clockOf(theirs - (wall + tookMs / 2), tookMs / 2)
  } catch (error) {
    if (error instanceof AppError) return unasked('clock', 'clock', error.message)
    throw error
  }
}

/** Checks the storage pools of a node as it reaches them. @param before returned as unknown if nobody can tell */
export async function storageChannels(node: string, before: ChannelState[]): Promise<Found[]> {
  try {
    const checked = await call(pools, 'checkFrom', { node }, { isQuestion: true, timeoutMs: 15_000 })
    return checked.map(({ pool, reason }) => found('storage', pool, reason))
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return unaskedStorage(before, error.message)
  }
}

export const unaskedStorage = (before: ChannelState[], reason: string): Found[] =>
  before.filter(({ channel }) => channel === 'storage').map(({ subject }) => unasked('storage', subject, reason))
