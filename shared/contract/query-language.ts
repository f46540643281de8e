/** Comparison of a term: equal to one of its values (`is`), or by size. */
export type Comparison = 'is' | '>' | '>=' | '<' | '<='

/** One condition: of a field, or without one of the fields that words search. */
export type Term = { field: string | null; comparison: Comparison; values: string[]; isNot: boolean }

/** A query: the terms of one group must all hold, and one of the groups must. */
export type Query = Term[][]

const quoted = '"[^"]*"'
const value = `(?:${quoted}|[^\\s",])+`
const wordPattern = `(?:${quoted}|[^\\s":-][^\\s":]*)`
const comparisons = '(?:>=|<=|>|<)'

/** The pattern of a query that names only these fields (ECMA-262, for JSON Schema). */
export function queryPattern(fields: readonly string[]): string {
  const names = fields.map((field) => RegExp.escape(field)).join('|')
  const term = `-?(?:(?:${names}):${comparisons}?${value}(?:,${value})*|${wordPattern})`
  return `^\\s*(?:${term}(?:\\s+${term})*)?\\s*$`
}

const termOf = new RegExp(`(-?)(?:([\\w.]+):(${comparisons}?)(${value}(?:,${value})*)|(${wordPattern}))`, 'g')
const valueOf = new RegExp(value, 'g')
const plain = (text: string) => text.replaceAll('"', '')

/**
 * Parses `web status:running,paused -tags:old memory:>4GiB or node:hv2`. The text fits {@link queryPattern}. Words between
 * blanks must all fit, `or` begins another group, quotes keep blanks, commas and colons, `-` negates.
 */
export function parseQuery(text: string): Query {
  const groups: Query = [[]]
  for (const [whole, minus = '', field, comparison = '', values = '', word = ''] of text.matchAll(termOf)) {
    const isNot = minus === '-'
    if (whole === 'or') groups.push([])
    else if (field === undefined) groups.at(-1)!.push({ field: null, comparison: 'is', values: [plain(word)], isNot })
    else {
      const given = values.match(valueOf) ?? []
      groups.at(-1)!.push({ field, comparison: (comparison || 'is') as Comparison, values: given.map(plain), isNot })
    }
  }
  return groups.filter((terms) => terms.length > 0)
}

const units: Record<string, number> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 }

/**
 * Reads a number that may have a unit of bytes, such as `4GiB`.
 * @param inMib the field counts MiB: a unit is converted to them
 * @returns undefined for text that is no number
 */
export function amountOf(text: string, inMib: boolean): number | undefined {
  const [, digits, unit] = /^(-?\d{1,15}(?:\.\d{1,15})?)(KiB|MiB|GiB|TiB)?$/.exec(text) ?? []
  if (digits === undefined) return undefined
  if (unit === undefined) return Number(digits)
  return (Number(digits) * units[unit]!) / (inMib ? units['MiB']! : 1)
}
