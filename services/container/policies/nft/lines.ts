import { hash } from 'node:crypto'
import type { Direction, Peer, PolicyPort } from '#shared/contracts/container/network-policies.ts'
import { type Family, formatRange, merge, parseCidr, type Range, subtract } from '../addresses.ts'
import { protocolOf, type Rule, rulesOf, scopeOf } from '../isolation.ts'
import type { Endpoint, Policy } from '../world.ts'

/**
 * Addresses that change with the endpoints, and so stand in a set of their own: those that a rule's selectors fit, or
 * those of a rule with named ports, each with the port that it gives the name.
 */
export type Group = { name: string; scope: string; peers: readonly Peer[]; named: readonly PolicyPort[] | null }

/** Rules are named by their content: no name in a ruleset comes from a user. */
export const digest = (content: unknown): string => hash('sha256', JSON.stringify(content), 'hex').slice(0, 16)

export const setOf = (group: string, family: Family): string => `${group}_${family}`

function groupOf(scope: string, peers: readonly Peer[], named: readonly PolicyPort[] | null): Group {
  return { name: `${named ? 'n' : 'g'}_${digest([scope, peers, named])}`, scope, peers, named }
}

const ends = { 4: (1n << 32n) - 1n, 6: (1n << 128n) - 1n } as const
const keyword = { 4: 'ip', 6: 'ip6' } as const
const families: readonly Family[] = [4, 6]

const isAll = ({ family, first, last }: Range) => first === 0n && last === ends[family]

/** Matches of the blocks of a rule: excepted ranges are subtracted first, so their order does not matter. */
function blockMatches(peers: readonly Peer[], side: string): string[] {
  const parse = (cidr: string) => [parseCidr(cidr)].filter((range) => range !== null)
  const ranges = merge(
    peers.flatMap(({ ip_block }) =>
      ip_block ? subtract(parse(ip_block.cidr), (ip_block.except ?? []).flatMap(parse)) : [],
    ),
  )
  return families.flatMap((family) => {
    const own = ranges.filter((range) => range.family === family)
    if (own.length === 0) return []
    if (own.some(isAll)) return [`meta nfproto ipv${family}`]
    return [`${keyword[family]} ${side} { ${own.map(formatRange).join(', ')} }`]
  })
}

const ports = (first: number, last: number): Range => ({ family: 4, first: BigInt(first), last: BigInt(last) })
const portText = ({ first, last }: Range) => (first === last ? `${first}` : `${first}-${last}`)

/** Matches of numeric ports: one for each protocol. */
function portMatches(asked: readonly PolicyPort[]): string[] {
  return [...Map.groupBy(asked, protocolOf)].map(([protocol, ofProtocol]) => {
    if (ofProtocol.some(({ port }) => port === undefined)) return `meta l4proto ${protocol}`
    const ranges = merge(ofProtocol.map(({ port, end_port }) => ports(Number(port), Number(end_port ?? port))))
    return `${protocol} dport { ${ranges.map(portText).join(', ')} }`
  })
}

/** Replaces named ports by the numbers that the destination gives them; a name that it does not know allows nothing. */
const resolve = (asked: readonly PolicyPort[], destination: Endpoint): PolicyPort[] =>
  asked.flatMap((one) =>
    typeof one.port === 'string'
      ? destination.ports
          .filter(({ name, protocol }) => name === one.port && protocol === protocolOf(one))
          .map(({ port }) => ({ ...(one.protocol && { protocol: one.protocol }), port }))
      : [one],
  )

type Lines = { lines: string[]; groups: Group[] }

function linesOfRule({ peers, ports }: Rule, scope: string, direction: Direction, self: Endpoint): Lines {
  const side = direction === 'Egress' ? 'daddr' : 'saddr'
  const selectors = peers.filter(({ ip_block }) => !ip_block)
  const group = selectors.length > 0 ? groupOf(scope, selectors, null) : null
  const fromPeers =
    peers.length === 0
      ? ['']
      : [
          ...(group ? families.map((family) => `${keyword[family]} ${side} @${setOf(group.name, family)}`) : []),
          ...blockMatches(peers, side),
        ]
  const known = direction === 'Ingress' ? resolve(ports, self) : ports
  const named = known.filter(({ port }) => typeof port === 'string')
  const numeric = known.filter(({ port }) => typeof port !== 'string')
  const fromPorts = ports.length === 0 ? [''] : portMatches(numeric)
  const byName = named.length > 0 ? groupOf(scope, peers, named) : null
  return {
    lines: [
      ...fromPeers.flatMap((peer) => fromPorts.map((port) => [peer, port, 'return'].filter(Boolean).join(' '))),
      ...(byName
        ? families.map(
            (family) => `${keyword[family]} daddr . meta l4proto . th dport @${setOf(byName.name, family)} return`,
          )
        : []),
    ],
    groups: [...(group && fromPorts.length > 0 ? [group] : []), ...(byName ? [byName] : [])],
  }
}

export const counterOf = (policy: string, direction: Direction): string =>
  `${direction === 'Egress' ? 'out' : 'in'}_${digest(policy)}`

/** A chain that judges packets of an isolated endpoint: `return` allows. It is named by its content, so equal ones are one. */
export type Chain = { name: string; lines: readonly string[]; groups: readonly Group[]; counters: readonly string[] }

/** In an isolated direction, or for an address in the other direction: TCP begins with SYN. */
export const midstream = 'tcp flags & (fin | syn | rst | ack) != syn goto drop_midstream'

/** The chain of an endpoint in a direction, by the policies that isolate it there. */
export function chainOf(policies: readonly Policy[], direction: Direction, self: Endpoint): Chain {
  const parts = policies.flatMap((policy) =>
    rulesOf(policy, direction).map((rule) => linesOfRule(rule, scopeOf(policy), direction, self)),
  )
  const counters = policies.map(({ id }) => counterOf(id, direction)).toSorted()
  const end = direction === 'Egress' ? 'drop_out' : 'drop_in'
  const lines = [
    midstream,
    ...new Set(parts.flatMap((part) => part.lines)),
    ...counters.map((name) => `counter name "${name}"`),
    `goto ${end}`,
  ]
  const groups = [...new Map(parts.flatMap((part) => part.groups).map((group) => [group.name, group])).values()]
  return { name: `c_${digest([direction, lines])}`, lines, groups, counters }
}
