import ipaddr from 'ipaddr.js'

type Range = ReturnType<typeof ipaddr.parseCIDR>

/** Parses a network such as `10.0.0.0/8`; a single address is a network of one. @throws Error for any other text */
function parseNetwork(text: string): Range {
  if (text.includes('/')) return ipaddr.parseCIDR(text)
  const address = ipaddr.parse(text)
  return [address, address.kind() === 'ipv6' ? 128 : 32]
}

const parsed = new Map<string, Range>()

function rangeOf(network: string): Range {
  const known = parsed.get(network)
  if (known) return known
  const made = parseNetwork(network)
  if (parsed.size > 10_000) parsed.clear()
  parsed.set(network, made)
  return made
}

/**
 * Checks that an address lies in one of the networks. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) counts as IPv4.
 */
export function isInNetworks(address: string, networks: readonly string[]): boolean {
  if (!ipaddr.isValid(address)) return false
  const from = ipaddr.process(address)
  return networks.some((network) => {
    const range = rangeOf(network)
    return range[0].kind() === from.kind() && from.match(range)
  })
}

/** Checks that the text is an address or a network such as `2001:db8::/32`. */
export function isNetwork(text: string): boolean {
  try {
    parseNetwork(text)
    return true
  } catch {
    return false
  }
}
