import { useId } from 'preact/hooks'
import { t } from '../words/words.ts'
import type { Mistake } from './yaml.ts'

type Props = { text: string; mistakes: readonly Mistake[]; onInput: (text: string) => void }

/** The request of a form as YAML, with the mistakes at their lines. */
export function YamlForm({ text, mistakes, onInput }: Props) {
  const id = useId()
  return (
    <div class="field yaml">
      <label for={id}>{t('yamlOfRequest')}</label>
      <textarea
        id={id}
        name="yaml"
        rows={Math.min(24, Math.max(8, text.split('\n').length + 1))}
        spellcheck={false}
        autocomplete="off"
        wrap="off"
        value={text}
        aria-invalid={mistakes.length > 0 || undefined}
        aria-describedby={mistakes.length > 0 ? `${id}-wrong` : undefined}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
      {mistakes.length > 0 && (
        <ul id={`${id}-wrong`} class="wrong">
          {mistakes.map(({ line, message }) => (
            <li key={`${line} ${message}`}>{line === undefined ? message : t('yamlLine', { line, message })}</li>
          ))}
        </ul>
      )}
    </div>
  )
}
