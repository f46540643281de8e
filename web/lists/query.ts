/** One term of a search: a word, or `field:value` with alternatives after commas; `-` before it excludes. */
type Term = { field: string | undefined; values: string[]; isNot: boolean }

/** Splits a search into its terms. Quotes keep spaces together. */
export function termsOf(text: string): Term[] {
  return [...text.matchAll(/(-?)(?:(\w+):)?("[^"]*"|\S+)/g)].map(([, not, field, value = '']) => ({
    field,
    values: value
      .replaceAll('"', '')
      .toLowerCase()
      .split(field ? ',' : '\0')
      .filter(Boolean),
    isNot: not === '-',
  }))
}

const asTexts = (value: unknown): string[] =>
  (Array.isArray(value) ? value.map(String) : [String(value ?? '')]).map((text) => text.toLowerCase())

const fits = (text: string, wanted: string) =>
  wanted.endsWith('*') ? text.startsWith(wanted.slice(0, -1)) : text === wanted

/** True if an item fits all terms. `words` are the texts that plain words are looked for in. */
export function matches(terms: readonly Term[], item: Record<string, unknown>, words: readonly unknown[]): boolean {
  return terms.every(({ field, values, isNot }) => {
    const isHit =
      field === undefined
        ? words.some((text) => asTexts(text).some((each) => each.includes(values[0] ?? '')))
        : asTexts(item[field]).some((text) => values.some((value) => fits(text, value)))
    return isHit !== isNot
  })
}

/** The search with a field set to a value, or without the field. */
export function withField(text: string, field: string, value: string): string {
  const rest = text.replaceAll(new RegExp(`(^|\\s)-?${field}:\\S+`, 'g'), '').trim()
  return value ? `${rest} ${field}:${value}`.trim() : rest
}

export const fieldIn = (text: string, field: string): string =>
  new RegExp(`(?:^|\\s)${field}:(\\S+)`).exec(text)?.[1] ?? ''

/** The longest text of a search that the server takes is 1000 letters. */
const mostLetters = 900

/** Ids in groups, each of which fits into one search. */
export function inQueries(ids: readonly string[]): string[][] {
  const groups: string[][] = []
  let letters = mostLetters
  for (const id of ids) {
    letters += id.length + 1
    if (letters > mostLetters) {
      groups.push([])
      letters = id.length + 1
    }
    groups.at(-1)!.push(id)
  }
  return groups
}
