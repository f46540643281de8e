type Named = { name: string; kind?: string }

/**
 * The fields of a form with the kinds that the contract gives to the parameters of its action; a field may have its own.
 * @param kinds by the path of a parameter, and by `contract.action:path` where an action differs
 */
export const withKinds = <F extends Named>(
  kinds: Readonly<Record<string, NonNullable<F['kind']> | undefined>>,
  action: string,
  fields: readonly F[],
): readonly F[] =>
  fields.map((field) => {
    const kind = field.kind ?? kinds[`${action}:${field.name}`] ?? kinds[field.name]
    return kind === undefined ? field : { ...field, kind }
  })
