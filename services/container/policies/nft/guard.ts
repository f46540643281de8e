import { familyOf } from '../addresses.ts'

/** Addresses of the endpoint behind each port of a bridge. */
export type Guarded = ReadonlyMap<string, readonly string[]>

const table = 'bridge horcrux'

/**
 * Frames with a source address that is not the one of their port are dropped, so that addresses are what policies take them
 * for. Plain matches only: the bridge family of many kernels has neither connection tracking nor reject.
 */
const chain = `chain prerouting {
    type filter hook prerouting priority -350; policy accept;
    iifname != @ports return
    arp saddr ip 0.0.0.0 return
    iifname . arp saddr ip @own4 return
    ip saddr 0.0.0.0 udp dport 67 return
    iifname . ip saddr @own4 return
    icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } return
    ip6 saddr fe80::/10 udp dport 547 return
    iifname . ip6 saddr @own6 return
    counter name "spoofed" drop
  }`

const quoted = (port: string) => `"${port}"`
type Elements = { ports: string[]; own4: string[]; own6: string[] }

function elementsOf(guarded: Iterable<readonly [string, readonly string[]]>): Elements {
  const found: Elements = { ports: [], own4: [], own6: [] }
  for (const [port, addresses] of guarded) {
    found.ports.push(quoted(port))
    for (const address of addresses) found[`own${familyOf(address)}`].push(`${quoted(port)} . ${address}`)
  }
  return found
}

const types = { ports: 'ifname', own4: 'ifname . ipv4_addr', own6: 'ifname . ipv6_addr' } as const
const sets = ['ports', 'own4', 'own6'] as const

/** The whole guard as one input of nft; without ports there is none. */
export function guardText(guarded: Guarded): string {
  const renew = `add table ${table}\ndelete table ${table}\n`
  if (guarded.size === 0) return renew
  const elements = elementsOf(guarded)
  const set = (name: (typeof sets)[number]) =>
    `set ${name} { type ${types[name]};${elements[name].length > 0 ? ` elements = { ${elements[name].join(', ')} }` : ''} }`
  return `${renew}table ${table} {\n  counter spoofed { }\n  ${sets.map(set).join('\n  ')}\n  ${chain}\n}\n`
}

const isSame = (one: readonly string[] | undefined, other: readonly string[] | undefined) =>
  one?.join() === other?.join()

/** The change of a guard that is there. */
export function guardChangeText(before: Guarded, after: Guarded): string {
  if (before.size === 0 || after.size === 0) return before.size === after.size ? '' : guardText(after)
  const removed = elementsOf([...before].filter(([port, addresses]) => !isSame(addresses, after.get(port))))
  const added = elementsOf([...after].filter(([port, addresses]) => !isSame(addresses, before.get(port))))
  const lines = (verb: string, elements: Elements) =>
    sets
      .filter((name) => elements[name].length > 0)
      .map((name) => `${verb} element ${table} ${name} { ${elements[name].join(', ')} }\n`)
  return [...lines('delete', removed), ...lines('add', added)].join('')
}
