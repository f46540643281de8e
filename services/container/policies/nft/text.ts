import type { Family } from '../addresses.ts'
import type { Differences, Tables } from './journal.ts'
import { midstream } from './lines.ts'

/** The table of policies. It only drops: `accept` in one table does not overrule a drop in another. */
export const table = 'inet horcrux'

const typeOf = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const
const families: readonly Family[] = [4, 6]
const maps = ['out', 'in'].flatMap((side) => families.map((family) => ({ name: `${side}${family}`, family })))

/** Entries of a set of drops: the last of them stay readable for an hour. */
const keptDrops = 4096

const concatenated = (family: Family) => `${typeOf[family]} . ${typeOf[family]} . inet_proto . inet_service`

const standingSets = (family: Family) => [
  // Flows that a change has ended, in both directions: packets on their way must not begin them anew.
  `set cut${family} { type ${concatenated(family)} . inet_service; flags timeout; timeout 60s; }`,
  ...['in', 'out'].flatMap((side) => [
    `set drops_${side}${family} { type ${concatenated(family)}; size ${keptDrops}; flags dynamic,timeout; timeout 1h; }`,
    `set drops_${side}${family}_portless { type ${typeOf[family]} . ${typeOf[family]} . inet_proto; size ${keptDrops}; flags dynamic,timeout; timeout 1h; }`,
  ]),
]

const keyword = { 4: 'ip', 6: 'ip6' } as const
const tuple = (family: Family) => `${keyword[family]} saddr . ${keyword[family]} daddr . meta l4proto`

/** A set that is full does not match, so the drop is a rule of its own. */
const countDrop = (side: string) => [
  ...families.flatMap((family) => [
    `meta l4proto { tcp, udp, sctp } update @drops_${side}${family} { ${tuple(family)} . th dport counter } drop`,
    `update @drops_${side}${family}_portless { ${tuple(family)} counter } drop`,
  ]),
  'drop',
]

const chain = (name: string, lines: readonly string[]) =>
  `chain ${name} {\n${lines.map((line) => `    ${line}\n`).join('')}  }`

/** Answers of allowed connections, and IPv6 neighbour discovery, without which an isolated endpoint reaches nobody. */
const first = [
  ...families.map((family) => `${tuple(family)} . th sport . th dport @cut${family} drop`),
  'ct state established,related return',
  'icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } return',
]
const lookUp = (side: 'out' | 'in') =>
  families.map((family) => `${keyword[family]} ${side === 'out' ? 'saddr' : 'daddr'} vmap @${side}${family}`)

const standingChains = [
  chain('drop_out', countDrop('out')),
  chain('drop_in', countDrop('in')),
  chain('drop_midstream', ['counter name "midstream" drop']),
  chain('open', [midstream]),
  chain('disputed', ['counter name "disputed" drop']),
  chain('forward', [
    'type filter hook forward priority filter - 5; policy accept;',
    ...first,
    ...lookUp('out'),
    ...lookUp('in'),
  ]),
  chain('input', [
    'type filter hook input priority filter - 5; policy accept;',
    ...first,
    // DHCP and DNS of the gateway: the address that the node has on the network of the packet.
    'udp dport { 67, 547 } return',
    'fib daddr . iif type local meta l4proto { tcp, udp } th dport 53 return',
    ...lookUp('out'),
  ]),
]

const setText = (name: string, { sets }: Tables, withElements: boolean) => {
  const { family, hasPorts, elements } = sets.get(name)!
  const type = `type ${typeOf[family]}${hasPorts ? ' . inet_proto . inet_service' : ''};`
  const content = withElements && elements.size > 0 ? ` elements = { ${[...elements].join(', ')} }` : ''
  return `set ${name} { ${type}${content} }`
}

const verdicts = (places: Iterable<[string, string]>) =>
  [...places].map(([address, name]) => `${address} : jump ${name}`).join(', ')

/** The whole table as one input of nft, which replaces any earlier one in one transaction. */
export function wholeText(tables: Tables, comment: string): string {
  const { chains, sets, counters } = tables
  const parts = [
    `comment "${comment}"`,
    ...['midstream', 'disputed', ...counters.keys()].map((name) => `counter ${name} { }`),
    ...families.flatMap(standingSets),
    ...[...sets.keys()].map((name) => setText(name, tables, true)),
    ...standingChains.slice(0, 5),
    ...[...chains].map(([name, lines]) => chain(name, linesOf(lines))),
    ...maps.map(({ name, family }) => {
      const places = tables.maps.get(name) ?? new Map<string, string>()
      const elements = places.size > 0 ? ` elements = { ${verdicts(places)} }` : ''
      return `map ${name} { type ${typeOf[family]} : verdict;${elements} }`
    }),
    ...standingChains.slice(5),
  ]
  return `add table ${table}\ndelete table ${table}\ntable ${table} {\n${parts.map((part) => `  ${part}\n`).join('')}}\n`
}

/** Counters stand in one rule with the jump at the end: a packet is counted once for each policy. */
function linesOf(lines: readonly string[]): string[] {
  const counters = lines.filter((line) => line.startsWith('counter '))
  const rules = lines.filter((line) => !line.startsWith('counter '))
  return [...rules.slice(0, -1), [...counters, rules.at(-1)!].join(' ')]
}

/** A change as one input of nft: new chains first, then the elements that lead to them, then the removal of the old ones. */
export function changeText({ chains, counters, sets, elements, places }: Differences, tables: Tables): string {
  const element = (verb: string, set: string, text: string) => `${verb} element ${table} ${set} { ${text} }`
  return [
    ...counters.added.map((name) => `add counter ${table} ${name}`),
    ...sets.added.map((name) => `add ${setText(name, tables, true).replace(/^set (\S+)/, `set ${table} $1`)}`),
    ...elements
      .filter(({ removed }) => removed.length > 0)
      .map(({ set, removed }) => element('delete', set, removed.join(', '))),
    ...elements.filter(({ added }) => added.length > 0).map(({ set, added }) => element('add', set, added.join(', '))),
    ...chains.added.map((name) => `add chain ${table} ${name}`),
    ...chains.added.flatMap((name) =>
      linesOf(tables.chains.get(name)!).map((line) => `add rule ${table} ${name} ${line}`),
    ),
    ...places
      .filter(({ removed }) => removed.length > 0)
      .map(({ map, removed }) => element('delete', map, removed.join(', '))),
    ...places.filter(({ added }) => added.length > 0).map(({ map, added }) => element('add', map, verdicts(added))),
    ...chains.removed.map((name) => `delete chain ${table} ${name}`),
    ...sets.removed.map((name) => `delete set ${table} ${name}`),
    ...counters.removed.map((name) => `delete counter ${table} ${name}`),
  ]
    .map((line) => `${line}\n`)
    .join('')
}
