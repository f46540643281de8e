import { useId } from 'preact/hooks'
import { t } from '../words/words.ts'
import type { Field } from './fields.ts'

type Props = {
  field: Field
  value: string | boolean
  wrong?: string | undefined
  onInput: (value: string | boolean) => void
}

const optionOf = (option: string | readonly [string, string]) =>
  typeof option === 'string' ? ([option, option] as const) : option

/** A labelled input with its hint and its error. */
export function Input({ field, value, wrong, onInput }: Props) {
  const id = useId()
  const { kind = 'text', label, hint, isRequired } = field
  const hasHint = hint !== undefined || field.hintText !== undefined
  const described = [hasHint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(' ')
  const common = {
    id,
    name: field.name,
    'aria-invalid': wrong ? true : undefined,
    'aria-describedby': described || undefined,
    'aria-required': isRequired || undefined,
  }
  const onText = (event: { currentTarget: { value: string } }) => onInput(event.currentTarget.value)
  const head = (
    <label for={id}>
      {field.text ?? t(label)}
      {isRequired && <span aria-hidden="true"> *</span>}
    </label>
  )
  return (
    <div class={`field ${kind === 'check' ? 'check-field' : ''}`}>
      {kind === 'check' ? (
        <>
          <input
            {...common}
            type="checkbox"
            checked={value === true}
            onChange={(event) => onInput(event.currentTarget.checked)}
          />
          {head}
        </>
      ) : (
        <>
          {head}
          {kind === 'select' ? (
            <select {...common} value={String(value)} onChange={onText}>
              {field.options?.map((option) => {
                const [key, text] = optionOf(option)
                return (
                  <option key={key} value={key}>
                    {text}
                  </option>
                )
              })}
            </select>
          ) : kind === 'area' || kind === 'json' || kind === 'lines' ? (
            <textarea
              {...common}
              rows={field.rows ?? (kind === 'json' ? 8 : 3)}
              spellcheck={false}
              value={String(value)}
              onInput={onText}
            />
          ) : (
            <input
              {...common}
              // The types know `list` for a text field only; a password has none.
              type={(kind === 'password' ? 'password' : 'text') as 'text'}
              inputMode={kind === 'number' ? 'decimal' : undefined}
              autocomplete={field.autocomplete ?? 'off'}
              spellcheck={false}
              list={field.suggestions ? `${id}-list` : undefined}
              value={String(value)}
              onInput={onText}
            />
          )}
        </>
      )}
      {field.suggestions && (
        <datalist id={`${id}-list`}>
          {field.suggestions.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
      {hasHint && <small id={`${id}-hint`}>{field.hintText ?? (hint && t(hint))}</small>}
      {wrong && (
        <span id={`${id}-wrong`} class="wrong">
          {wrong}
        </span>
      )}
    </div>
  )
}
