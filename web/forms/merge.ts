export type Values = Record<string, unknown>
export type Conflict = { field: string; base: unknown; mine: unknown; theirs: unknown }

const isSame = (a: unknown, b: unknown) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)

/**
 * Merges a form with a record that someone else has changed meanwhile, field by field. `mine` wins where only mine
 * changed, `theirs` where only theirs did; a field that both changed is a conflict, unless both say the same.
 */
export function merge(base: Values, mine: Values, theirs: Values): { merged: Values; conflicts: Conflict[] } {
  const merged: Values = {}
  const conflicts: Conflict[] = []
  for (const field of new Set([...Object.keys(base), ...Object.keys(mine)])) {
    const isMine = !isSame(base[field], mine[field])
    const isTheirs = !isSame(base[field], theirs[field])
    merged[field] = isMine ? mine[field] : theirs[field]
    if (isMine && isTheirs && !isSame(mine[field], theirs[field]))
      conflicts.push({ field, base: base[field], mine: mine[field], theirs: theirs[field] })
  }
  return { merged, conflicts }
}

/** The fields that differ from the base: only these are sent. */
export const changedFields = (base: Values, mine: Values): Values =>
  Object.fromEntries(Object.entries(mine).filter(([field, value]) => !isSame(base[field], value)))
