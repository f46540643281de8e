import { useState } from 'preact/hooks'
import type { Refusal } from '../api/refusal.ts'
import { t } from '../words/words.ts'
import type { Mistake } from './yaml.ts'

type Values = Record<string, unknown>
type Shapes = {
  /** The request of the form as it is; undefined if it has mistakes, which it shows. */ requestOf: () =>
    | Values
    | undefined
  /** Fills the form with a request. @returns the values of its fields; undefined if it cannot show all of the request */ fill: (
    request: Values,
    isSame: (one: Values, other: Values) => boolean,
  ) => Values | undefined
}

/** A form that can be seen and edited as YAML of its request, both ways. The parser is loaded at its first use. */
export function useYaml({ requestOf, fill }: Shapes) {
  /** Undefined while the form is shown. */
  const [text, setText] = useState<string>()
  const [made, setMade] = useState<string>()
  const [mistakes, setMistakes] = useState<Mistake[]>([])

  const read = async (): Promise<Values | undefined> => {
    const { readYaml } = await import('./yaml.ts')
    const { values, mistakes } = readYaml(text ?? '')
    setMistakes(values || mistakes.length > 0 ? mistakes : [{ line: 1, message: t('yamlNoFields') }])
    return values
  }
  const toggle = async () => {
    if (text === undefined) {
      const request = requestOf()
      if (!request) return
      const { toYaml } = await import('./yaml.ts')
      const yaml = toYaml(request)
      setMade(yaml)
      setText(yaml)
      return setMistakes([])
    }
    // Nothing was changed: the form is as it was.
    if (text === made) return setText(undefined)
    await toForm()
    return undefined
  }
  /** Shows the form with what the YAML says. @returns the values of its fields; undefined if it cannot show all */
  const toForm = async (): Promise<Values | undefined> => {
    const request = await read()
    if (!request) return undefined
    const { isSame } = await import('./yaml.ts')
    const values = fill(request, isSame)
    if (values) setText(undefined)
    else setMistakes([{ line: undefined, message: t('yamlOnly') }])
    return values
  }
  const change = (next: string) => {
    setText(next)
    setMistakes([])
  }
  /** Shows the violations of a refused request at their lines. */
  const showAt = async ({ violations }: Refusal) => {
    const { lineOf } = await import('./yaml.ts')
    setMistakes(
      violations.map(({ field, message }) => ({ line: lineOf(text ?? '', field), message: `${field}: ${message}` })),
    )
  }
  return { text, mistakes, read, toggle, toForm, change, showAt }
}
