import type { Operation } from '#shared/contracts/core/operations.ts'
import { useState } from 'preact/hooks'
import { titleOf } from '../../forms/run.ts'
import type { Verb } from '../../forms/verbs.tsx'
import { ListScreen } from '../../lists/list-screen.tsx'
import { useQuery } from '../../live/cache.ts'
import { isOver } from '../../live/operations.ts'
import { Button } from '../../widgets/button.tsx'
import type { Column } from '../../widgets/column.ts'
import { Dialog } from '../../widgets/dialog.tsx'
import { Loaded } from '../../widgets/states.tsx'
import { Status } from '../../widgets/status.tsx'
import { ago, percent, time } from '../../words/format.ts'
import { t } from '../../words/words.ts'

const verbs: readonly Verb<Operation>[] = [
  {
    action: 'operations.cancel',
    label: 'cancelOperation',
    params: ({ id }) => ({ id }),
    reason: (operation) => (isOver(operation) || !operation.cancellable ? t('notCancellable') : undefined),
  },
]

/** The fields of a row: its steps and its result are shown in its dialog. */
const listFields = 'id,kind,state,progress,error,resources,user,created_at,ended_at,cancellable,version'

export function Operations() {
  const [open, setOpen] = useState<string>()
  const columns: Column<Operation>[] = [
    {
      key: 'kind',
      head: 'f.operation',
      cell: (operation) => (
        <Button kind="quiet" onClick={() => setOpen(operation.id)}>
          {titleOf(operation)}
        </Button>
      ),
      value: titleOf,
    },
    {
      key: 'state',
      head: 'f.status',
      cell: ({ state, error }) => <Status value={state} reason={error?.message ?? null} />,
      value: ({ state }) => state,
    },
    {
      key: 'progress',
      head: 'f.progress',
      cell: ({ progress }) => percent(progress.percent),
      isNumeric: true,
      drop: 2,
    },
    { key: 'user', head: 'f.user', cell: ({ user }) => user, value: ({ user }) => user, drop: 2 },
    {
      key: 'created_at',
      head: 'f.time',
      cell: ({ created_at }) => (
        <time dateTime={created_at} title={time(created_at)}>
          {ago(created_at)}
        </time>
      ),
      value: ({ created_at }) => created_at,
      drop: 2,
    },
  ]
  return (
    <>
      <ListScreen
        title="nav.operations"
        list="operations.list"
        params={{ fields: listFields }}
        item="operations.get"
        columns={columns}
        idOf={({ id }) => id}
        nameOf={titleOf}
        words={({ id, kind, resources, user }) => [id, kind, resources, user]}
        facets={[
          { field: 'state', label: 'f.status', of: ({ state }) => state },
          { field: 'user', label: 'f.user', of: ({ user }) => user },
        ]}
        firstSort="-created_at"
        isPaged
        verbs={verbs}
        empty="noOperations"
      />
      {open !== undefined && <OperationDialog id={open} onClose={() => setOpen(undefined)} />}
    </>
  )
}

function OperationDialog({ id, onClose }: { id: string; onClose: () => void }) {
  const operation = useQuery('operations.get', { id })
  const log = useQuery('operations.log', { id })
  return (
    <Dialog title={operation.data ? titleOf(operation.data) : id} shape="wide" onClose={onClose}>
      <Loaded of={operation}>
        {({ state, error, steps, request_id }) => (
          <div class="stack">
            <p class="row">
              <Status value={state} /> <code class="dim">{id}</code>
            </p>
            {error && <p class="note">{error.message}</p>}
            <ol class="steps">
              {steps.map(({ name, state, started_at }) => (
                <li key={name + started_at} class="row">
                  <Status value={state} /> <span class="grow">{name}</span> <time class="dim">{time(started_at)}</time>
                </li>
              ))}
            </ol>
            <p class="dim">
              {t('f.request')} <code>{request_id}</code>
            </p>
          </div>
        )}
      </Loaded>
      <h3>{t('log')}</h3>
      <Loaded of={log}>
        {({ data }) => (
          <div class="log short" tabIndex={0} role="log" aria-label={t('log')}>
            {data.map((line, index) => (
              <pre key={index}>
                <time>{line.time.slice(11, 23)}</time>
                {line.message}
              </pre>
            ))}
          </div>
        )}
      </Loaded>
    </Dialog>
  )
}
