const factors: Record<string, number> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4, p: 1024 ** 5 }

/**
 * Reads a size such as "1.5 GiB", "20g" or, where the language writes a comma, "1,5 GiB". Units are binary; a number
 * alone has the unit `ifNone`.
 * @returns bytes; undefined for anything else, never a guess
 */
export function readSize(text: string, ifNone: string, locale: string): number | undefined {
  const comma = new Intl.NumberFormat(locale).format(1.5).charAt(1)
  const match = /^\s*(\d+)(?:([.,])(\d+))?\s*([kmgtp]?)(?:i?b)?\s*$/i.exec(text)
  if (!match) return undefined
  const [, whole, point, fraction = '', unit = ''] = match
  // "1.500" is fifteen hundred to some readers: only the decimal sign of the language, or a short English fraction, is read.
  if (point !== undefined && point !== comma && (point === ',' || fraction.length > 2)) return undefined
  const factor = factors[(unit || ifNone).toLowerCase()] ?? 1
  return Math.round(Number(`${whole}.${fraction || 0}`) * factor)
}
