import ipaddr from 'ipaddr.js'

type Cidr = ReturnType<typeof ipaddr.parseCIDR>

export const cidrOf = (text: string): Cidr | undefined =>
  ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : undefined

/** Checks that a text is an address in dotted quads or colons. Other forms that a parser accepts (`10.1`, `0x0a000001`) are mistakes. */
export const isAddress = (text: string): boolean =>
  ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text)

export function isOfNetwork(text: string, [network, bits]: Cidr): boolean {
  const address = ipaddr.parse(text)
  return address.kind() === network.kind() && address.match(network, bits)
}
