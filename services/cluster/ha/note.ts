type Noted = { status: string; isWanted: boolean; isOnline: boolean }

/** True for a guest that is seen running by its node. */
export const isSeenRunning = ({ status, isOnline }: Noted): boolean =>
  isOnline && (status === 'running' || status === 'paused')

/**
 * True while a VM is meant to run and does not, because its node was lost while it ran. A guest that was off before its node
 * went away is not started for that.
 */
export function isOwedNow(isOwed: boolean, noted: Noted): boolean {
  if (isSeenRunning(noted) || !noted.isWanted) return false
  return isOwed || (!noted.isOnline && noted.status !== 'stopped')
}
