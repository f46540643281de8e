import ipaddr from 'ipaddr.js'

export type Family = 4 | 6

/** A closed range of addresses of one family, as numbers. */
export type Range = { family: Family; first: bigint; last: bigint }

const bitsOf = { 4: 32n, 6: 128n } as const

function numberOf(address: ipaddr.IPv4 | ipaddr.IPv6): bigint {
  return address.toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}

/** Family and number of an address; null for text that is none. An IPv4 address within IPv6 stays IPv6. */
export function parseAddress(text: string): { family: Family; value: bigint } | null {
  const family = text.includes(':') ? 6 : 4
  // The library reads other forms too, such as 10.1 and 0x7f000001; an address has one form.
  if (family === 4 && !ipaddr.IPv4.isValidFourPartDecimal(text)) return null
  if (family === 6 && (!ipaddr.IPv6.isValid(text) || text.includes('%'))) return null
  return { family, value: numberOf(family === 4 ? ipaddr.IPv4.parse(text) : ipaddr.IPv6.parse(text)) }
}

/** The range of `10.0.0.0/8`; null for text that is none. Bits after the prefix are ignored, as in Kubernetes. */
export function parseCidr(text: string): Range | null {
  const [, address = '', prefix = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? []
  const parsed = parseAddress(address)
  if (!parsed || prefix !== String(Number(prefix))) return null
  const { family, value } = parsed
  const free = bitsOf[family] - BigInt(prefix)
  if (free < 0n) return null
  const first = (value >> free) << free
  return { family, first, last: first + (1n << free) - 1n }
}

/** The text of an address, in its usual form. */
export function formatAddress(family: Family, value: bigint): string {
  const length = family === 4 ? 4 : 16
  const bytes = Array.from({ length }, (_, i) => Number((value >> BigInt(8 * (length - 1 - i))) & 255n))
  return ipaddr.fromByteArray(bytes).toString()
}

/** The usual form of an address, so that two forms of one address are equal; null for text that is none. */
export function canonical(text: string): string | null {
  const parsed = parseAddress(text)
  return parsed && formatAddress(parsed.family, parsed.value)
}

export const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4)

export const contains = (range: Range, { family, value }: { family: Family; value: bigint }) =>
  range.family === family && range.first <= value && value <= range.last

/** True when `inner` lies in `outer` and is smaller. */
export const isStrictlyInside = (inner: Range, outer: Range) =>
  inner.family === outer.family &&
  outer.first <= inner.first &&
  inner.last <= outer.last &&
  inner.last - inner.first < outer.last - outer.first

const inOrder = (ranges: readonly Range[]) =>
  ranges.toSorted((a, b) => a.family - b.family || (a.first < b.first ? -1 : Number(a.first > b.first)))

/** The same addresses in as few ranges as possible: sorted, without overlaps and without neighbours. */
export function merge(ranges: readonly Range[]): Range[] {
  const merged: Range[] = []
  for (const range of inOrder(ranges)) {
    const last = merged.at(-1)
    if (last && last.family === range.family && range.first <= last.last + 1n) {
      if (range.last > last.last) merged[merged.length - 1] = { ...last, last: range.last }
    } else merged.push(range)
  }
  return merged
}

/** The addresses of `from` that are in none of `without`. */
export function subtract(from: readonly Range[], without: readonly Range[]): Range[] {
  let left = merge(from)
  for (const hole of merge(without))
    left = left.flatMap((range) => {
      if (range.family !== hole.family || hole.last < range.first || range.last < hole.first) return [range]
      return [
        ...(range.first < hole.first ? [{ ...range, last: hole.first - 1n }] : []),
        ...(hole.last < range.last ? [{ ...range, first: hole.last + 1n }] : []),
      ]
    })
  return left
}

/** A range as nftables reads it. */
export function formatRange({ family, first, last }: Range): string {
  const begin = formatAddress(family, first)
  return first === last ? begin : `${begin}-${formatAddress(family, last)}`
}

/** True when an address lies in a block and in none of its exceptions. */
export function isInBlock(
  { cidr, except = [] }: { cidr: string; except?: readonly string[] },
  address: string,
): boolean {
  const value = parseAddress(address)
  const isIn = (text: string) => {
    const range = parseCidr(text)
    return value !== null && range !== null && contains(range, value)
  }
  return isIn(cidr) && !except.some(isIn)
}
