/** Keys that are plain words in every version of YAML; in YAML 1.1 some words are booleans or null. */
const plainKey = /^(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][a-z0-9_-]*$/i

/** JSON leaves these as they are; YAML 1.1 forbids some (DEL, C1 controls, BOM) and breaks lines at others (U+0085, U+2028). */
const notAscii = /[^\x20-\x7e]/gu

const escaped = (character: string) => {
  const code = character.codePointAt(0)!.toString(16)
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`
}

/** JSON's escapes are YAML's too, in double quotes. */
const quoted = (text: string) => JSON.stringify(text).replaceAll(notAscii, escaped)

const keyOf = (key: string) => (plainKey.test(key) ? key : quoted(key))
const indented = (lines: string[]) => lines.map((line) => `  ${line}`)

/** The value on one line; undefined for a list or an object that has items. */
function inline(value: unknown): string | undefined {
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return String(value)
  if (typeof value !== 'object' || value === null) throw new Error(`YAML for ${String(value)} is not provided for`)
  if (Object.keys(value).length > 0) return undefined
  return Array.isArray(value) ? '[]' : '{}'
}

function linesOf(value: object): string[] {
  if (Array.isArray(value)) return value.flatMap(itemLines)
  return Object.entries(value).flatMap(([key, one]: [string, unknown]) => {
    const text = inline(one)
    return text === undefined ? [`${keyOf(key)}:`, ...indented(linesOf(one as object))] : [`${keyOf(key)}: ${text}`]
  })
}

function itemLines(item: unknown): string[] {
  const text = inline(item)
  if (text !== undefined) return [`- ${text}`]
  // A value without inline text is an object.
  const [first = '', ...rest] = linesOf(item as object)
  return [`- ${first}`, ...indented(rest)]
}

/**
 * Writes a document that YAML 1.1 (cloud-init's PyYAML) and 1.2 read alike: printable ASCII, every string double-quoted
 * and escaped. It has strings without lone surrogates, booleans, safe integers, and keys of at most 1,024 characters
 * (the longest that PyYAML reads).
 */
export const yamlOf = (value: object): string => `${inline(value) ?? linesOf(value).join('\n')}\n`
