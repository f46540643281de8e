import type { Result } from '#shared/contract/contract.ts'
import type { Migration, migrations } from '#shared/contracts/migration/migrations.ts'

/** The middle of a list of numbers; null for none. */
export function median(numbers: number[]): number | null {
  if (numbers.length === 0) return null
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const seconds = ({ started_at, ended_at }: Migration) =>
  started_at === null || ended_at === null ? [] : [(Date.parse(ended_at) - Date.parse(started_at)) / 1000]

/** Counts migrations by outcome. Times and pauses are those of completed ones. */
export function statisticsOf(all: Migration[]): Result<typeof migrations, 'statistics'> {
  const count = (status: Migration['status']) => all.filter((each) => each.status === status).length
  const [completed, failed, cancelled] = [count('completed'), count('failed'), count('cancelled')]
  const done = all.filter(({ status }) => status === 'completed')
  return {
    total: all.length,
    running: all.length - completed - failed - cancelled,
    completed,
    failed,
    cancelled,
    median_seconds: median(done.flatMap(seconds)),
    median_downtime_ms: median(done.flatMap(({ statistics }) => statistics?.downtime_ms ?? [])),
  }
}
