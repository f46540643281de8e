import { type Aged, byAge } from '../snapshots/age.ts'

/** Name of the snapshot of a run. It has the time in UTC: local times come twice when daylight saving ends. */
export const snapshotNameOf = (schedule: string, due: Date): string => {
  const [date, time] = due.toISOString().slice(0, 19).split('T') as [string, string]
  return `${schedule}_${date.replaceAll('-', '')}_${time.replaceAll(':', '')}`
}

/** The snapshots of a schedule that are more than it keeps: the oldest. */
export const surplusOf = <T extends Aged>(own: readonly T[], kept: number): T[] =>
  own.toSorted(byAge).slice(0, Math.max(0, own.length - kept))
