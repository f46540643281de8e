import * as facts from 'virtual:forms'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { call } from '../api/client.ts'
import type { ActionName, ParamsOf, ResultOf } from '../api/contracts.ts'
import { asRefusal, type Refusal } from '../api/refusal.ts'
import { isOffline } from '../live/stream.ts'
import { Button } from '../widgets/button.tsx'
import { Problem } from '../widgets/states.tsx'
import { t, type Word } from '../words/words.ts'
import { type Field, paramsOf, pick, type Raw, rawOf, readForm, toRaw } from './fields.ts'
import { withFacts } from './with-facts.ts'
import { Input } from './input.tsx'
import { changedFields, type Conflict, merge, type Values } from './merge.ts'
import { run } from './run.ts'
import { useYaml } from './use-yaml.ts'
import { YamlForm } from './yaml-form.tsx'

/** The answer of an action to `plan: true`. */
export type Plan = { plan_id: string }
type Current = { data: unknown; etag: string | undefined }
type Props<N extends ActionName> = {
  action: N
  /** Parameters that are not in the form, such as ids. */ params?: Record<string, unknown>
  fields: readonly Field[]
  initial?: Record<string, unknown>
  submit: Word
  isDanger?: boolean
  onDone?: (answer: ResultOf<N>) => void
  onCancel?: () => void
  /** The record that is edited: only changed fields are sent, with If-Match. */
  base?: Current
  /** Reads the record again after a 412. */ reload?: () => Promise<Current>
  children?: ComponentChildren
  /** Shows the plan of the action: it is read first, and then exactly it is done. */
  showPlan?: ((plan: Plan) => ComponentChildren) | undefined
  /** Shows what the request would do, read from elsewhere, before it is sent. */
  preview?: ((params: Values) => ComponentChildren) | undefined
  /** The form sends one request for each entry of a list field. */ eachOf?: EachOf | undefined
  /** Last change of the parameters before they are sent. */ prepare?: (
    params: Record<string, unknown>,
  ) => Record<string, unknown>
}

/** A list field of a form, and the parameter that gets one of its entries in each request. */
export type EachOf = { field: string; as: string }

/** Forms with fewer fields have no view as YAML. */
const fieldsWithYaml = 3

const valuesOf = (fields: readonly Field[], source: unknown): Values =>
  Object.fromEntries(fields.map(({ name }) => [name, pick(source, name)]))

/** A form of one action. Events never touch what is typed; a 412 is merged field by field. */
export function ActionForm<N extends ActionName>(props: Props<N>) {
  const { action, submit, isDanger, onDone, onCancel, reload, children } = props
  const fields = withFacts(facts, action, props.fields, (example) => t('suchAs', { example }))
  const [raw, setRaw] = useState<Raw>(() => rawOf(fields, props.base?.data ?? props.initial))
  const [base, setBase] = useState(props.base)
  const [wrong, setWrong] = useState<Record<string, string>>({})
  const [error, setError] = useState<Refusal>()
  const [conflicts, setConflicts] = useState<Conflict[]>([])
  const [isBusy, setBusy] = useState(false)
  const [plan, setPlan] = useState<Plan>()
  const [previewed, setPreviewed] = useState<Values>()
  /** Fields of the request that were given as YAML, and that the form does not have. */
  const [extra, setExtra] = useState<Values>({})
  const isPlanning = props.preview ? !previewed : props.showPlan !== undefined && !plan
  const form = useRef<HTMLFormElement>(null)
  useEffect(
    () => form.current?.closest('dialog')?.querySelector<HTMLElement>('form input, select, textarea')?.focus(),
    [],
  )
  useEffect(() => form.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus(), [wrong])

  const show = (refusal: Refusal) => {
    const names = new Map(fields.map((field) => [field.name, field]))
    const own = refusal.violations.filter(({ field }) => names.has(field))
    setWrong(Object.fromEntries(own.map(({ field, message }) => [field, message])))
    setError(own.length === refusal.violations.length && own.length > 0 ? undefined : refusal)
  }

  /** Someone else was first: takes over the fields that only they changed, and shows those that both did. */
  const mergeWithTheirs = async (mine: Values) => {
    const theirs = await reload!()
    const { merged, conflicts } = merge(valuesOf(fields, base?.data), mine, valuesOf(fields, theirs.data))
    setBase(theirs)
    setRaw(Object.fromEntries(fields.map((field) => [field.name, toRaw(field, merged[field.name])])))
    setConflicts(conflicts)
    if (conflicts.length === 0) await send(changedFields(valuesOf(fields, theirs.data), merged), theirs)
  }

  /** The request without its ids; passwords are left out of what is shown. */
  const requestOf = (values: Values, more: Values): Values => {
    const hidden = fields.filter(({ kind }) => kind === 'password').map(({ name }) => name)
    const told = Object.fromEntries(Object.entries(values).filter(([name]) => !hidden.includes(name)))
    const filled = { ...more, ...paramsOf(told) }
    return base ? filled : (props.prepare?.(filled) ?? filled)
  }

  const send = async (values: Values, current = base): Promise<void> => {
    const filled = { ...extra, ...props.params, ...paramsOf(values) }
    await sendParams(props.prepare?.(filled) ?? filled, current)
  }

  const sendParams = async (given: Values, current = base): Promise<void> => {
    const params = given as ParamsOf<N>
    // Actions with a plan take this parameter, and answer it.
    const toPlan = { ...given, plan: true } as unknown as ParamsOf<N>
    if (isPlanning && props.preview) return setPreviewed(given)
    if (isPlanning) return setPlan((await call(action, toPlan)).data as unknown as Plan)
    const asked = { ifMatch: current?.etag, ifPlan: plan?.plan_id }
    onDone?.(props.eachOf ? await sendEach(given, props.eachOf) : await run(action, params, asked))
  }

  /** Entries whose request was taken leave the form, so that a later refusal repeats none of them. */
  const sendEach = async (given: Values, { field, as }: EachOf) => {
    const { [field]: entries, ...rest } = given
    const left = [...(entries as string[])]
    let answer: ResultOf<N>
    do {
      answer = await run(action, { ...rest, [as]: left.shift() } as ParamsOf<N>)
      setRaw((before) => ({ ...before, [field]: left.join('\n') }))
    } while (left.length > 0)
    return answer
  }

  const readRaw = (from: Raw) => {
    const read = readForm(fields, from, base?.data ?? props.initial)
    setWrong(Object.fromEntries(Object.entries(read.wrong).map(([name, word]) => [name, t(word)])))
    return Object.keys(read.wrong).length > 0 ? undefined : read.values
  }
  const passwords = (): Values =>
    Object.fromEntries(
      fields.flatMap(({ name, kind }) => (kind === 'password' && raw[name] ? [[name, raw[name]]] : [])),
    )

  const yaml = useYaml({
    requestOf: () => {
      const { values, wrong } = readForm(fields, raw, base?.data ?? props.initial)
      // A field that is still empty is added in the YAML.
      const isUnreadable = Object.keys(wrong).some((name) => String(raw[name] ?? '').trim() !== '')
      if (!isUnreadable) return requestOf(values, extra)
      readRaw(raw)
      return undefined
    },
    fill: (request, isSame) => {
      const own = new Set(fields.map(({ name }) => name.split('.')[0]))
      const more = Object.fromEntries(Object.entries(request).filter(([name]) => !own.has(name)))
      const next: Raw = { ...rawOf(fields, request), ...(passwords() as Raw) }
      const { values, wrong } = readForm(fields, next, base?.data ?? props.initial)
      const shown = requestOf(values, more)
      if (Object.keys(wrong).length > 0 || !isSame(shown, request) || (base && Object.keys(more).length > 0))
        return undefined
      setRaw(next)
      setExtra(more)
      return values
    },
  })

  /** Sends the YAML as it is. Of a record only the fields that were changed are sent. */
  const submitYaml = async (): Promise<void> => {
    const request = await yaml.read()
    if (!request) return
    const changed = base ? changedFields(base.data as Values, request) : request
    await sendParams({ ...changed, ...paramsOf(passwords()), ...props.params })
  }

  const onSubmit = async (event: Event) => {
    event.preventDefault()
    if (isBusy || isOffline.value) return
    setError(undefined)
    const values = yaml.text === undefined ? readRaw(raw) : {}
    if (!values) return
    setBusy(true)
    setConflicts([])
    try {
      if (yaml.text !== undefined) await submitYaml()
      else await send(base ? changedFields(valuesOf(fields, base.data), values) : values)
    } catch (thrown) {
      const refusal = asRefusal(thrown)
      forgetPlan()
      if (refusal.status === 412 && reload) await mergeMine(values)
      else if (yaml.text !== undefined) await showInYaml(refusal)
      else show(refusal)
    }
    setBusy(false)
  }

  /** A conflict is shown field by field, also that of a YAML. */
  const mergeMine = async (values: Values) => {
    const mine = yaml.text === undefined ? values : await yaml.toForm()
    if (mine) await mergeWithTheirs(mine).catch((again: unknown) => show(asRefusal(again)))
  }

  const showInYaml = async (refusal: Refusal) => {
    if (refusal.violations.length > 0) await yaml.showAt(refusal)
    else setError(refusal)
  }

  const forgetPlan = () => {
    setPlan(undefined)
    setPreviewed(undefined)
  }
  const put = (name: string, value: string | boolean) => {
    forgetPlan()
    setRaw((before) => ({ ...before, [name]: value }))
  }
  const conflictOf = (name: string) => conflicts.find(({ field }) => field === name)
  return (
    <form class="form" ref={form} onSubmit={onSubmit} noValidate>
      {error && <Problem error={error} />}
      {conflicts.length > 0 && (
        <p class="note" role="alert">
          {t('conflict')}
        </p>
      )}
      {children}
      {yaml.text !== undefined && (
        <YamlForm
          text={yaml.text}
          mistakes={yaml.mistakes}
          onInput={(text) => {
            forgetPlan()
            yaml.change(text)
          }}
        />
      )}
      {fields
        .filter(({ when }) => yaml.text === undefined && (!when || when(raw)))
        .map((field) => {
          const conflict = conflictOf(field.name)
          return (
            <div key={field.name}>
              <Input
                field={field}
                value={raw[field.name] ?? ''}
                wrong={wrong[field.name]}
                onInput={(value) => put(field.name, value)}
              />
              {conflict && (
                <p class="row">
                  {t('theirs', { value: String(toRaw(field, conflict.theirs)) })}
                  <Button onClick={() => put(field.name, toRaw(field, conflict.theirs))}>{t('takeTheirs')}</Button>
                </p>
              )}
            </div>
          )
        })}
      {plan && props.showPlan?.(plan)}
      {previewed && props.preview?.(previewed)}
      <footer>
        {fields.length >= fieldsWithYaml && !props.eachOf && (
          <Button kind="quiet" onClick={() => void yaml.toggle()}>
            {t(yaml.text === undefined ? 'asYaml' : 'asForm')}
          </Button>
        )}
        {onCancel && <Button onClick={onCancel}>{t('cancel')}</Button>}
        <Button
          type="submit"
          kind={isDanger && !isPlanning ? 'danger' : 'main'}
          isBusy={isBusy}
          reason={isOffline.value ? t('offlineReason') : undefined}
        >
          {t(isPlanning ? 'showPlan' : submit)}
        </Button>
      </footer>
    </form>
  )
}
