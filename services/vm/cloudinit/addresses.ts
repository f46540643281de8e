import ipaddr from 'ipaddr.js'

type Cidr = ReturnType<typeof ipaddr.parseCIDR>

export const cidrOf = (text: string): Cidr | undefined =>
  ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : undefined

/** In dotted quads or colons; what else a parser takes for an address (`10.1`, `0x0a000001`) is a slip. */
export const isAddress = (text: string): boolean =>
  ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text)

export function isOfNetwork(text: string, [network, bits]: Cidr): boolean {
  const address = ipaddr.parse(text)
  return address.kind() === network.kind() && address.match(network, bits)
}
