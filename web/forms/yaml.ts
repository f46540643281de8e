import { isMap, isNode, LineCounter, parseDocument, stringify } from 'yaml'

type Values = Record<string, unknown>
/** A mistake in a text, at a line of it as far as that is known. */
export type Mistake = { line: number | undefined; message: string }

/** The YAML of a request, without its undefined fields. */
export const toYaml = (values: Values): string => stringify(JSON.parse(JSON.stringify(values)), { lineWidth: 0 })

/** Reads the YAML of a request. @returns its fields, or all mistakes of its syntax; undefined fields for another value */
export function readYaml(text: string): { values: Values | undefined; mistakes: Mistake[] } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const mistakes = document.errors.map(({ message, pos }) => ({ line: lines.linePos(pos[0]).line, message }))
  if (mistakes.length > 0) return { values: undefined, mistakes }
  if (document.contents === null) return { values: {}, mistakes }
  // A map with text keys, as JSON has it: the server checks the rest.
  return { values: isMap(document.contents) ? (document.toJS() as Values) : undefined, mistakes }
}

/** The line of a field such as `disks.0.size`, or of the nearest field around it that is there. */
export function lineOf(text: string, field: string): number | undefined {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const path = field.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part))
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return undefined
}

const inOrder = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, inOrder(each)]),
  )
}

/** True if two requests are the same as JSON, in any order of their fields. */
export const isSame = (one: Values, other: Values): boolean =>
  JSON.stringify(inOrder(one)) === JSON.stringify(inOrder(other))
