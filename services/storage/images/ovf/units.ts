const powers: Record<string, number> = {
  kilobytes: 10,
  kb: 10,
  megabytes: 20,
  mb: 20,
  gigabytes: 30,
  gb: 30,
  terabytes: 40,
  tb: 40,
}

/**
 * Bytes of an allocation unit: "byte * 2^20" as in DSP0004, or words such as "MegaBytes" of older producers.
 * @throws Error for another one
 */
export function bytesOfUnit(unit: string): number {
  const word = unit.trim().toLowerCase()
  const power = powers[word]
  if (power !== undefined) return 2 ** power
  if (!/^bytes?(\s*\*\s*\d+(\s*\^\s*\d+)?)*$/.test(word))
    throw new Error(`the unit '${unit.slice(0, 100)}' is not known`)
  return [...word.matchAll(/\*\s*(\d+)(?:\s*\^\s*(\d+))?/g)].reduce(
    (bytes, [, base, exponent = '1']) => bytes * Number(base) ** Number(exponent),
    1,
  )
}

/** A whole number. @throws Error naming the field */
export function numberIn(text: string | undefined, field: string): number {
  if (text !== undefined && /^\d{1,15}$/.test(text.trim())) return Number(text)
  throw new Error(`${field} is '${(text ?? '').slice(0, 100)}', not a whole number`)
}

/** An amount in bytes. @throws Error for one that no computer has */
export function bytesIn(amount: string | undefined, unit: string, field: string): number {
  const bytes = numberIn(amount, field) * bytesOfUnit(unit)
  if (Number.isSafeInteger(bytes)) return bytes
  throw new Error(`${field} is ${amount} of ${unit}`)
}
