import ipaddr from 'ipaddr.js'

export type Address = ipaddr.IPv4 | ipaddr.IPv6
export type Family = 'ipv4' | 'ipv6'
/** An address of an interface with the length of its prefix. */
export type Placed = { address: Address; bits: number }

/**
 * Reads dotted quads or colons. Other spellings that a parser takes for an address (`10.1`, `0x0a000001`, `10.0.0.010`)
 * are refused as slips, and so are zones (`fe80::1%eth0`): the interface is known.
 */
export function addressOf(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text)
  return !text.includes('%') && ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined
}

/** Reads `10.0.0.5/24`. */
export function placedOf(text: string): Placed | undefined {
  const [, host = '', prefix = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? []
  const address = addressOf(host)
  const bits = Number(prefix)
  return address && prefix !== '' && bits <= widthOf(address) ? { address, bits } : undefined
}

const widthOf = (address: Address) => (address.kind() === 'ipv4' ? 32 : 128)

/** The same text for every spelling of an address. */
export const normalOf = (address: Address) => address.toNormalizedString()

export const isLinkLocal = (address: Address) => address.kind() === 'ipv6' && address.range() === 'linkLocal'

export const isOfNetwork = (address: Address, network: Placed) =>
  address.kind() === network.address.kind() && address.match(network.address, network.bits)

const unusable: Partial<Record<string, string>> = {
  unspecified: 'an unspecified address',
  multicast: 'a multicast address',
  broadcast: 'the broadcast address',
  loopback: 'a loopback address',
  ipv4Mapped: 'an IPv4 address in IPv6 spelling',
}

/** Names the kind of an address that no interface can have; undefined for an address of a host. */
export function whyUnusable(address: Address): string | undefined {
  const known = unusable[address.range()]
  const isReserved = address.kind() === 'ipv4' && address.toByteArray()[0]! >= 240
  return known ?? (isReserved ? 'an address of the reserved block 240.0.0.0/4' : undefined)
}

/**
 * Names the address when it stands for a network or for all of its hosts: all bits after the prefix 0 (in IPv6 the
 * routers' anycast address, RFC 4291 2.6.1), or in IPv4 all 1. Prefixes with one or two addresses have none (RFC 3021, RFC 6164).
 */
export function whyOfNetwork(address: Address, { bits }: Pick<Placed, 'bits'>): string | undefined {
  const hostBits = widthOf(address) - bits
  if (hostBits < 2) return undefined
  const host =
    address.toByteArray().reduce((value, byte) => (value << 8n) | BigInt(byte), 0n) % (1n << BigInt(hostBits))
  if (host === 0n) return 'the address of its network'
  const isLast = host === (1n << BigInt(hostBits)) - 1n
  return isLast && address.kind() === 'ipv4' ? 'the broadcast address of its network' : undefined
}
