type Named = {
  name: string
  kind?: string
  hint?: string
  hintText?: string | undefined
  options?: unknown
  suggestions?: unknown
}

/** Facts of the contracts for forms; see form-facts.ts. */
type Facts<Kind extends string> = {
  /** By the path of a parameter, and by `contract.action:path` where an action differs. */
  kinds: Readonly<Record<string, Kind | undefined>>
  examples: Readonly<Record<string, string | undefined>>
}

/**
 * The fields of a form with the kinds that the contract gives to the parameters of its action, and with its examples as
 * hints. A field keeps its own kind and hint.
 * @param hintOf makes a hint of an example
 */
export const withFacts = <F extends Named>(
  { kinds, examples }: Facts<NonNullable<F['kind']>>,
  action: string,
  fields: readonly F[],
  hintOf: (example: string) => string,
): readonly F[] =>
  fields.map((field) => {
    const kind = field.kind ?? kinds[`${action}:${field.name}`] ?? kinds[field.name]
    const isFree = (kind === undefined || kind === 'text') && !field.options && !field.suggestions
    const example = isFree && !field.hint && !field.hintText ? examples[field.name] : undefined
    return {
      ...field,
      ...(kind !== undefined && { kind }),
      ...(example !== undefined && { hintText: hintOf(example) }),
    }
  })
