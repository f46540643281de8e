import type { Result } from '#shared/contract/contract.ts'
import type { ForecastQuality } from '#shared/contracts/migration/forecast.ts'
import type { Migration, migrations } from '#shared/contracts/migration/migrations.ts'
import { type Figure, isWithin, median, outcomeOf } from './forecast/ranges.ts'

const seconds = ({ started_at, ended_at }: Migration) =>
  started_at === null || ended_at === null ? [] : [(Date.parse(ended_at) - Date.parse(started_at)) / 1000]

/** Compares the forecasts of completed migrations with their outcomes. */
function qualityOf(done: Migration[]): ForecastQuality {
  const compared = done.flatMap(({ forecast, statistics }) => {
    const { seconds, pause_ms, bytes } = outcomeOf({ statistics })
    return forecast && seconds !== null && pause_ms !== null && bytes !== null
      ? [{ forecast, seconds, pause_ms, bytes }]
      : []
  })
  const within = (figure: Figure) => compared.filter((each) => isWithin(each.forecast[figure], each[figure])).length
  return {
    compared: compared.length,
    seconds_within: within('seconds'),
    pause_within: within('pause_ms'),
    bytes_within: within('bytes'),
    median_seconds_ratio: median(compared.map(({ forecast, seconds }) => seconds / forecast.seconds.median)),
  }
}

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
    forecasts: qualityOf(done),
  }
}
