import { useQuery } from '../live/cache.ts'
import { Loaded } from '../widgets/states.tsx'
import { time } from '../words/format.ts'
import { t } from '../words/words.ts'

type Preview = 'backup-jobs.preview' | 'replication-jobs.preview' | 'snapshot-schedules.preview'

/** The next runs of a schedule, folded. */
export function NextRuns({ of, id }: { of: Preview; id: string }) {
  const runs = useQuery(of, { id })
  return (
    <details>
      <summary>{t('nextRuns')}</summary>
      <Loaded of={runs} rows={2}>
        {({ data }) => (
          <ul>
            {data.slice(0, 5).map((run) => (
              <li key={run.at}>{time(run.at)}</li>
            ))}
          </ul>
        )}
      </Loaded>
    </details>
  )
}
