import type { JobRun } from '#shared/contracts/storage/backup-jobs.ts'
import type { Column } from '../../widgets/column.ts'
import { Status } from '../../widgets/status.tsx'
import { ago, time } from '../../words/format.ts'
import { t, type Word } from '../../words/words.ts'

type Job = { enabled: boolean; last_run: JobRun | null; next_run: string | null }

/** The last run: its state, and its counts in words. */
function LastRun({ run, counts }: { run: JobRun | null; counts: Word }) {
  if (run === null) return <>–</>
  return (
    <>
      <Status value={run.state} reason={run.error} /> {ago(run.started_at)}
      <div class="dim">{t(counts, { done: run.succeeded, failed: run.failed, skipped: run.skipped })}</div>
    </>
  )
}

/** Columns of a job that runs at times. @param counts words for what a run has done, failed to do, and skipped */
export const jobColumns = <T extends Job>(counts: Word): Column<T>[] => [
  {
    key: 'enabled',
    head: 'f.status',
    cell: ({ enabled }) => <Status value={enabled ? 'enabled' : 'disabled'} />,
    drop: 2,
  },
  { key: 'last_run', head: 'f.lastRun', cell: ({ last_run }) => <LastRun run={last_run} counts={counts} /> },
  {
    key: 'next_run',
    head: 'f.nextRun',
    cell: ({ next_run }) => time(next_run),
    value: ({ next_run }) => next_run,
    drop: 1,
  },
]
