import type { Operation } from '#shared/contracts/core/operations.ts'
import { bulkResultOf, bulkText } from '../forms/bulk-result.ts'
import { run, titleOf } from '../forms/run.ts'
import { asRefusal } from '../api/refusal.ts'
import { isOver, operationList } from '../live/operations.ts'
import { Button } from '../widgets/button.tsx'
import { Dialog } from '../widgets/dialog.tsx'
import { Empty } from '../widgets/states.tsx'
import { Status } from '../widgets/status.tsx'
import { toast } from '../widgets/toasts.tsx'
import { ago, bytes, percent } from '../words/format.ts'
import { t } from '../words/words.ts'

/** Operations that run or ended lately. They go on when the drawer or the page is closed. */
export function OperationsDrawer({ onClose }: { onClose: () => void }) {
  const all = operationList.value
  return (
    <Dialog title={t('nav.operations')} shape="side" onClose={onClose}>
      {all.length === 0 && <Empty title={t('noOperations')} />}
      {all.slice(0, 30).map((operation) => (
        <OperationRow key={operation.id} operation={operation} />
      ))}
      <p>
        <a href="/operations" onClick={onClose}>
          {t('allOperations')}
        </a>
      </p>
    </Dialog>
  )
}

export function OperationRow({ operation }: { operation: Operation }) {
  const { state, stage, progress, error, user, created_at, cancellable, id } = operation
  const isDone = isOver(operation)
  const bulk = bulkResultOf(operation)
  return (
    <div class="op">
      <div class="row">
        <b class="grow">{titleOf(operation)}</b>
        <Status value={state} />
      </div>
      {!isDone && (
        <>
          <progress
            max={100}
            {...(progress.percent !== null && { value: progress.percent })}
            aria-label={titleOf(operation)}
          />
          <div class="row dim num">
            <span class="grow">{stage}</span>
            {progress.unit === 'bytes' &&
              progress.total !== null &&
              `${bytes(progress.done)} / ${bytes(progress.total)}`}{' '}
            {percent(progress.percent)}
          </div>
        </>
      )}
      {bulk && <p class="dim">{bulkText(bulk)}</p>}
      {error && <p class="dim">{error.message}</p>}
      <div class="row dim">
        <span class="grow">
          {user} · <time dateTime={created_at}>{ago(created_at)}</time>
        </span>
        {!isDone && cancellable && (
          <Button
            onClick={() =>
              run('operations.cancel', { id }).catch((refused: unknown) => toast('bad', asRefusal(refused).message))
            }
          >
            {t('cancelOperation')}
          </Button>
        )}
      </div>
    </div>
  )
}
