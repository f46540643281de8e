import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { ActionName } from '../api/contracts.ts'
import { asRefusal, type Refusal } from '../api/refusal.ts'
import { may } from '../api/session.ts'
import { isOffline } from '../live/stream.ts'
import { Button } from '../widgets/button.tsx'
import { Dialog } from '../widgets/dialog.tsx'
import { Menu } from '../widgets/menu.tsx'
import { Problem } from '../widgets/states.tsx'
import { toast } from '../widgets/toasts.tsx'
import { t, told, type Word } from '../words/words.ts'
import { ActionForm, type EachOf, type Plan } from './action-form.tsx'
import type { Field } from './fields.ts'
import { run } from './run.ts'

/** Something that can be done with an item: hidden without the right, disabled with the reason if impossible now. */
export type Verb<T> = {
  action: ActionName
  label: Word
  params: (item: T) => Record<string, unknown>
  /** False for items of a kind that never has it: it is hidden. */ fits?: (item: T) => boolean
  /** Why it is impossible now. */ reason?: (item: T) => string | undefined
  fields?: (item: T) => readonly Field[]
  initial?: (item: T) => Record<string, unknown>
  prepare?: (params: Record<string, unknown>) => Record<string, unknown>
  /** Shows what the request of the form would do, before it is sent. Goes with `fields`. */
  preview?: (params: Record<string, unknown>) => ComponentChildren
  /** One request for each entry of a list field. */ eachOf?: EachOf
  /** Question before it is done, with the loss. */ confirm?: (item: T) => string
  /** The name that must be typed, for what cannot be undone. */ typed?: (item: T) => string
  note?: (item: T) => ComponentChildren
  /** Shows the plan of an action that has one, before it is done. Goes with `fields`. */
  showPlan?: (plan: Plan) => ComponentChildren
  /** Content of the dialog in place of a form or a question. */
  view?: (item: T, onClose: () => void) => ComponentChildren
  isDanger?: boolean
  onDone?: (answer: unknown, item: T) => void
}

/** Why a power verb is impossible in this status, by the table of the contracts. */
export function wrongStatus(
  states: Record<string, readonly string[]>,
  verb: string,
  status: string,
): string | undefined {
  const allowed = states[verb] ?? []
  if (allowed.includes(status)) return undefined
  return t('wrongStatus', {
    status: told('status', status),
    allowed: allowed.map((each) => told('status', each)).join(` ${t('or')} `),
  })
}

export const reasonOf = <T,>(verb: Verb<T>, item: T): string | undefined =>
  isOffline.value ? t('offlineReason') : verb.reason?.(item)
const needsDialog = (verb: Verb<never>) => Boolean(verb.fields || verb.confirm || verb.typed || verb.note || verb.view)

/** Buttons for the verbs that the caller may do: the first few, and a menu of the rest. */
export function Verbs<T>({
  item,
  verbs,
  shown = 0,
  label,
}: {
  item: T
  verbs: readonly Verb<T>[]
  shown?: number
  label: string
}) {
  const [open, setOpen] = useState<Verb<T>>()
  const allowed = verbs.filter(({ action, params, fits }) => (fits?.(item) ?? true) && may(action, params(item)))
  const start = (verb: Verb<T>) => (needsDialog(verb as Verb<never>) ? setOpen(verb) : void perform(verb, item))
  const possible = allowed.filter((verb) => reasonOf(verb, item) === undefined)
  const inline = shown > 0 ? [...possible, ...allowed.filter((verb) => !possible.includes(verb))].slice(0, shown) : []
  const rest = allowed.filter((verb) => !inline.includes(verb))
  return (
    <div class="actions">
      {inline.map((verb) => (
        <Button
          key={verb.label}
          kind={verb.isDanger ? 'danger' : undefined}
          reason={reasonOf(verb, item)}
          onClick={() => start(verb)}
        >
          {t(verb.label)}
        </Button>
      ))}
      {rest.length > 0 && (
        <Menu
          label={t('actionsOf', { name: label })}
          icon="more"
          items={rest.map((verb) => ({
            label: t(verb.label),
            reason: reasonOf(verb, item),
            isDanger: verb.isDanger ?? false,
            onSelect: () => start(verb),
          }))}
        />
      )}
      {open && <VerbDialog verb={open} item={item} name={label} onClose={() => setOpen(undefined)} />}
    </div>
  )
}

async function perform<T>(verb: Verb<T>, item: T): Promise<void> {
  try {
    const answer = await run(verb.action, verb.params(item) as never)
    verb.onDone?.(answer, item)
  } catch (error) {
    toast('bad', asRefusal(error).message)
  }
}

/** The dialog of a verb: a form, a question, or a name to be typed. */
export function VerbDialog<T>({
  verb,
  item,
  name,
  onClose,
}: {
  verb: Verb<T>
  item: T
  name: string
  onClose: () => void
}) {
  const done = (answer: unknown) => {
    onClose()
    verb.onDone?.(answer, item)
  }
  return (
    <Dialog
      title={`${t(verb.label)}: ${name}`}
      shape={verb.view || verb.showPlan ? 'wide' : undefined}
      onClose={onClose}
    >
      {verb.view ? (
        verb.view(item, onClose)
      ) : verb.fields && !verb.typed ? (
        <ActionForm
          action={verb.action}
          params={verb.params(item)}
          fields={verb.fields(item)}
          initial={verb.initial?.(item) ?? {}}
          prepare={verb.prepare}
          eachOf={verb.eachOf}
          preview={verb.preview}
          showPlan={verb.showPlan}
          submit={verb.label}
          isDanger={verb.isDanger}
          onDone={done}
          onCancel={onClose}
        >
          {verb.confirm && <p class="note">{verb.confirm(item)}</p>}
          {verb.note?.(item)}
        </ActionForm>
      ) : (
        <Confirm verb={verb} item={item} onClose={onClose} onDone={done} />
      )}
    </Dialog>
  )
}

function Confirm<T>({
  verb,
  item,
  onClose,
  onDone,
}: {
  verb: Verb<T>
  item: T
  onClose: () => void
  onDone: (answer: unknown) => void
}) {
  const [typed, setTyped] = useState('')
  const [choices, setChoices] = useState<Record<string, unknown>>({})
  const [error, setError] = useState<Refusal>()
  const [isBusy, setBusy] = useState(false)
  const wanted = verb.typed?.(item)
  const isWaiting = wanted !== undefined && typed !== wanted
  const go = async (event: Event) => {
    event.preventDefault()
    if (isWaiting || isBusy) return
    setBusy(true)
    try {
      onDone(await run(verb.action, { ...verb.params(item), ...choices } as never))
    } catch (thrown) {
      setError(asRefusal(thrown))
      setBusy(false)
    }
  }
  return (
    <form class="form" onSubmit={go}>
      {error && <Problem error={error} />}
      {verb.confirm && <p>{verb.confirm(item)}</p>}
      {verb.note?.(item)}
      {verb.fields?.(item).map(({ name, label }) => (
        <label key={name} class="row">
          <input
            type="checkbox"
            onChange={({ currentTarget }) => setChoices({ ...choices, [name]: currentTarget.checked })}
          />{' '}
          {t(label)}
        </label>
      ))}
      {wanted !== undefined && (
        <label class="field">
          <span>{t('typeName', { name: wanted })}</span>
          <input
            value={typed}
            autocomplete="off"
            spellcheck={false}
            onInput={({ currentTarget }) => setTyped(currentTarget.value)}
          />
        </label>
      )}
      <footer>
        <Button onClick={onClose}>{t('cancel')}</Button>
        <Button
          type="submit"
          kind={verb.isDanger ? 'danger' : 'main'}
          isBusy={isBusy}
          reason={isWaiting ? t('typeName', { name: wanted }) : undefined}
        >
          {t(verb.label)}
        </Button>
      </footer>
    </form>
  )
}
