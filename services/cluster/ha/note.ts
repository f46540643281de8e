/** `isLost`: it ran until its node booted or its guard ended it, and is off there. */
type Noted = { status: string; isWanted: boolean; isOnline: boolean; isLost: boolean }

/** True for a guest that is seen running by its node. */
export const isSeenRunning = ({ status, isOnline }: Pick<Noted, 'status' | 'isOnline'>): boolean =>
  isOnline && (status === 'running' || status === 'paused')

/**
 * True while a VM is meant to run and does not, because its node was lost or booted while it ran, or its guard ended it for
 * lost storage. A guest that was off before its node went away is not started for that.
 */
export function isOwedNow(isOwed: boolean, noted: Noted): boolean {
  if (isSeenRunning(noted) || !noted.isWanted) return false
  return isOwed || noted.isLost || (!noted.isOnline && noted.status !== 'stopped')
}
