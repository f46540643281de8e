import { useState } from 'preact/hooks'
import { asRefusal } from '../api/refusal.ts'
import { may } from '../api/session.ts'
import { run } from '../forms/run.ts'
import { reasonOf, type Verb } from '../forms/verbs.tsx'
import { Button } from '../widgets/button.tsx'
import { Dialog } from '../widgets/dialog.tsx'
import { count } from '../words/format.ts'
import { t } from '../words/words.ts'

type Props<T> = { items: readonly T[]; verbs: readonly Verb<T>[]; nameOf: (item: T) => string; onClear: () => void }
type Plan<T> = { verb: Verb<T>; does: T[]; skipped: { item: T; why: string }[] }

/** The items that a verb can be done with, and the reason for each of the others. */
export function planOf<T>(items: readonly T[], verb: Verb<T>): Plan<T> {
  const plan: Plan<T> = { verb, does: [], skipped: [] }
  for (const item of items) {
    const why = may(verb.action, verb.params(item)) ? reasonOf(verb, item) : t('noRight')
    if (why === undefined) plan.does.push(item)
    else plan.skipped.push({ item, why })
  }
  return plan
}

const together = 8

/** The actions on a selection: the plan first, then a result for each item. */
export function Bulk<T>({ items, verbs, nameOf, onClear }: Props<T>) {
  const [plan, setPlan] = useState<Plan<T>>()
  return (
    <div class="bulk" role="region" aria-label={t('selection')}>
      <b>{t('selected', { count: count(items.length) })}</b>
      {verbs.map((verb) => (
        <Button key={verb.label} onClick={() => setPlan(planOf(items, verb))}>
          {t(verb.label)}
        </Button>
      ))}
      <Button kind="quiet" onClick={onClear}>
        {t('clearSelection')}
      </Button>
      {plan && <BulkDialog plan={plan} nameOf={nameOf} onClose={() => setPlan(undefined)} />}
    </div>
  )
}

function BulkDialog<T>({ plan, nameOf, onClose }: { plan: Plan<T>; nameOf: (item: T) => string; onClose: () => void }) {
  const [done, setDone] = useState(0)
  const [failed, setFailed] = useState<{ item: T; why: string }[]>([])
  const [phase, setPhase] = useState<'plan' | 'running' | 'over'>('plan')
  const go = async (items: readonly T[]) => {
    setPhase('running')
    setFailed([])
    const left = [...items]
    const failures: { item: T; why: string }[] = []
    const work = async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) {
        try {
          await run(plan.verb.action, plan.verb.params(item) as never)
          setDone((before) => before + 1)
        } catch (error) {
          failures.push({ item, why: asRefusal(error).message })
        }
      }
    }
    await Promise.all(Array.from({ length: together }, work))
    setFailed(failures)
    setPhase('over')
  }
  const list = (of: { item: T; why: string }[]) => (
    <ul>
      {of.slice(0, 50).map(({ item, why }) => (
        <li key={nameOf(item)}>
          <b>{nameOf(item)}</b> {why}
        </li>
      ))}
    </ul>
  )
  const verb = t(plan.verb.label)
  return (
    <Dialog title={t('bulkTitle', { verb, count: count(plan.does.length) })} onClose={onClose}>
      <div class="form">
        <p>{t('bulkPlan', { does: count(plan.does.length), skipped: count(plan.skipped.length) })}</p>
        {plan.skipped.length > 0 && (
          <details>
            <summary>{t('bulkSkipped', { count: count(plan.skipped.length) })}</summary>
            {list(plan.skipped)}
          </details>
        )}
        {phase !== 'plan' && (
          <div role="status">
            <progress max={plan.does.length} value={done + failed.length} aria-label={verb} />
            {t('bulkProgress', { done: count(done), failed: count(failed.length), all: count(plan.does.length) })}
          </div>
        )}
        {failed.length > 0 && list(failed)}
        <footer>
          <Button onClick={onClose}>{t(phase === 'plan' ? 'cancel' : 'close')}</Button>
          {phase === 'plan' && (
            <Button
              kind="main"
              reason={plan.does.length === 0 ? t('bulkNone') : undefined}
              onClick={() => go(plan.does)}
            >
              {verb} ({count(plan.does.length)})
            </Button>
          )}
          {phase === 'over' && failed.length > 0 && (
            <Button kind="main" onClick={() => go(failed.map(({ item }) => item))}>
              {t('retryFailed')}
            </Button>
          )}
        </footer>
      </div>
    </Dialog>
  )
}
