import { useEffect, useState } from 'preact/hooks'
import type { BulkPlan } from '#shared/contracts/bulk.ts'
import { call } from '../api/client.ts'
import type { ActionName, ParamsOf } from '../api/contracts.ts'
import { asRefusal, type Refusal } from '../api/refusal.ts'
import { may } from '../api/session.ts'
import { bulkResultOf, bulkText } from '../forms/bulk-result.ts'
import { run } from '../forms/run.ts'
import type { Verb } from '../forms/verbs.tsx'
import { isOver, operationList } from '../live/operations.ts'
import { isOffline } from '../live/stream.ts'
import { Button } from '../widgets/button.tsx'
import { Dialog } from '../widgets/dialog.tsx'
import { Problem, Skeleton } from '../widgets/states.tsx'
import { count } from '../words/format.ts'
import { t } from '../words/words.ts'

export type BulkName = Extract<ActionName, `${string}-bulk.run`>
/** The action that does one thing with many items of a list, and the verbs that it offers. */
export type BulkOf<T> = { run: BulkName; verbs: readonly Verb<T>[] }

type Props<T> = { items: readonly T[]; bulk: BulkOf<T>; idOf: (item: T) => string; onClear: () => void }
type Chosen<T> = { verb: Verb<T>; ids: string[] }

/** The server takes so many items in one request. */
const mostInBulk = 1000

/** The actions on a selection. The server plans and does them, so that they go on when the page is closed. */
export function Bulk<T>({ items, bulk, idOf, onClear }: Props<T>) {
  const [chosen, setChosen] = useState<Chosen<T>>()
  const allowed = bulk.verbs.filter(({ action, params }) => items.some((item) => may(action, params(item))))
  const isTooMany = items.length > mostInBulk
  const reason = isOffline.value
    ? t('offlineReason')
    : isTooMany
      ? t('bulkMost', { count: count(mostInBulk) })
      : undefined
  return (
    <div class="bulk" role="toolbar" aria-label={t('selection')}>
      <b role="status">{t('selected', { count: count(items.length) })}</b>
      {allowed.map((verb) => (
        <Button key={verb.label} reason={reason} onClick={() => setChosen({ verb, ids: items.map(idOf) })}>
          {t(verb.label)}
        </Button>
      ))}
      <Button kind="quiet" onClick={onClear}>
        {t('clearSelection')}
      </Button>
      {chosen && (
        <BulkDialog
          key={chosen.ids.join()}
          run={bulk.run}
          chosen={chosen}
          onRetry={(ids) => setChosen({ ...chosen, ids })}
          onClose={() => setChosen(undefined)}
        />
      )}
    </div>
  )
}

type DialogProps<T> = { run: BulkName; chosen: Chosen<T>; onRetry: (ids: string[]) => void; onClose: () => void }

function BulkDialog<T>({ run: name, chosen: { verb, ids }, onRetry, onClose }: DialogProps<T>) {
  const [plan, setPlan] = useState<BulkPlan>()
  const [error, setError] = useState<Refusal>()
  const [begun, setBegun] = useState<string>()
  const params = { action: verb.action.split('.')[1], ids } as ParamsOf<BulkName>
  useEffect(() => {
    call(name, { ...params, plan: true })
      // With `plan` the answer is the plan.
      .then(({ data }) => setPlan(data as unknown as BulkPlan))
      .catch((thrown: unknown) => setError(asRefusal(thrown)))
  }, [])
  const go = async () => {
    if (!plan || begun) return
    setBegun('')
    setError(undefined)
    try {
      setBegun((await run(name, params, { ifPlan: plan.plan_id })).id)
    } catch (thrown) {
      const refusal = asRefusal(thrown)
      const { plan: another } = refusal.details as { plan?: BulkPlan }
      if (another) setPlan(another)
      setError(refusal)
      setBegun(undefined)
    }
  }
  const operation = operationList.value.find(({ id }) => id === begun)
  const result = operation && bulkResultOf(operation)
  const label = t(verb.label)
  const does = plan?.does.length ?? 0
  return (
    <Dialog title={t('bulkTitle', { verb: label, count: count(ids.length) })} onClose={onClose}>
      <div class="form">
        {error && <Problem error={error} />}
        {!plan && !error && <Skeleton />}
        {plan && (
          <p>
            {t('bulkPlan', {
              does: count(does),
              skipped: count(plan.skipped.length),
              refused: count(plan.refused.length),
            })}
          </p>
        )}
        {plan && (
          <Reasons
            title={t('bulkSkipped', { count: count(ids.length - does) })}
            of={[...plan.skipped, ...plan.refused]}
          />
        )}
        {operation && (
          <div role="status">
            <progress max={does} value={isOver(operation) ? does : operation.progress.done} aria-label={label} />
            {result ? bulkText(result) : t('bulkProgress', { done: count(operation.progress.done), all: count(does) })}
            {!isOver(operation) && <p class="dim">{t('bulkGoesOn')}</p>}
            {operation.error && <p>{operation.error.message}</p>}
          </div>
        )}
        {result && (
          <Reasons title={t('bulkFailed', { count: count(result.failed.length) })} of={result.failed} isOpen />
        )}
        <footer>
          <Button onClick={onClose}>{t(begun === undefined ? 'cancel' : 'close')}</Button>
          {!operation && (
            <Button
              kind={verb.isDanger ? 'danger' : 'main'}
              isBusy={begun !== undefined}
              reason={plan ? (does === 0 ? t('bulkNone') : undefined) : t('bulkPlanning')}
              onClick={go}
            >
              {label} ({count(does)})
            </Button>
          )}
          {result && result.failed.length > 0 && (
            <Button kind="main" onClick={() => onRetry(result.failed.map(({ id }) => id))}>
              {t('retryFailed')}
            </Button>
          )}
        </footer>
      </div>
    </Dialog>
  )
}

type Left = { id: string; name: string; message: string }

function Reasons({ title, of, isOpen = false }: { title: string; of: readonly Left[]; isOpen?: boolean }) {
  if (of.length === 0) return null
  return (
    <details open={isOpen}>
      <summary>{title}</summary>
      <ul>
        {of.slice(0, 50).map(({ id, name, message }) => (
          <li key={id}>
            <b>{name}</b> {message}
          </li>
        ))}
      </ul>
    </details>
  )
}
