import { hash } from 'node:crypto'
import type { Host } from '#shared/nodes/host/host.ts'
import type { Tables } from './journal.ts'

/** Objects of `nft -j`, as far as they are read here. */
type Listed = {
  chain?: { name: string }
  rule?: { chain: string; expr: unknown[] }
  set?: { name: string; elem?: unknown[] }
  map?: { name: string; elem?: [string, { jump: { target: string } }][] }
  counter?: { name: string; packets: number; bytes: number }
}

async function list(host: Host, words: readonly string[]): Promise<Listed[] | null> {
  const { code, stdout } = await host.run('nft', ['-j', ...words], { maxOutputBytes: 256 * 1024 * 1024 })
  return code === 0 ? (JSON.parse(stdout) as { nftables: Listed[] }).nftables : null
}

/** Table without the values that packets change. */
function shapeOf(listed: readonly Listed[]) {
  const rules = Map.groupBy(
    listed.flatMap(({ rule }) => rule ?? []),
    ({ chain }) => chain,
  )
  return {
    chains: new Map(listed.flatMap(({ chain }) => (chain ? [[chain.name, rules.get(chain.name)?.length ?? 0]] : []))),
    sets: new Set(listed.flatMap(({ set }) => set?.name ?? [])),
    maps: new Set(listed.flatMap(({ map }) => map?.name ?? [])),
    digest: hash('sha256', JSON.stringify(listed.flatMap(({ rule }) => (rule ? [[rule.chain, rule.expr]] : [])))),
  }
}

/** Rules that a chain of the tables has in the kernel: counters stand in one with the last. */
const ruleCount = (lines: readonly string[]) => lines.filter((line) => !line.startsWith('counter ')).length

/**
 * Compares the table in the kernel with the one that was written, without elements, which are many.
 * @returns a digest of the rules, or null when something is missing
 */
export async function readShape(host: Host, tables: Tables): Promise<string | null> {
  const listed = await list(host, ['-t', 'list', 'table', 'inet', 'horcrux'])
  if (!listed) return null
  const { chains, sets, maps, digest } = shapeOf(listed)
  const isWhole =
    ['forward', 'input', 'drop_in', 'drop_out', 'open'].every((name) => (chains.get(name) ?? 0) > 0) &&
    [...tables.chains].every(([name, lines]) => chains.get(name) === ruleCount(lines)) &&
    [...tables.sets.keys()].every((name) => sets.has(name)) &&
    ['in4', 'out4', 'in6', 'out6'].every((name) => maps.has(name))
  return isWhole ? digest : null
}

/** True when the elements in the kernel are those of the tables. */
export async function hasElements(host: Host, tables: Tables): Promise<boolean> {
  const listed = await list(host, ['list', 'table', 'inet', 'horcrux'])
  if (!listed) return false
  const sizes = new Map(listed.flatMap(({ set }) => (set ? [[set.name, set.elem?.length ?? 0] as const] : [])))
  const places = new Map(listed.flatMap(({ map }) => (map ? [[map.name, map.elem ?? []] as const] : [])))
  return (
    [...tables.sets].every(([name, { elements }]) => sizes.get(name) === elements.size) &&
    [...tables.maps].every(
      ([name, wanted]) =>
        places.get(name)?.length === wanted.size &&
        places.get(name)!.every(([address, { jump }]) => wanted.get(address) === jump.target),
    )
  )
}

/** Packets that were dropped on their way from one address to another, within the last hour. */
export type Drops = {
  from: string
  to: string
  protocol: string
  port: number | null
  direction: 'Ingress' | 'Egress'
  packets: number
  bytes: number
}

type DropElement = { elem: { val: { concat: (string | number)[] }; counter: { packets: number; bytes: number } } }

export async function readDrops(host: Host): Promise<Drops[]> {
  const found: Drops[] = []
  for (const direction of ['Ingress', 'Egress'] as const)
    for (const kind of ['4', '6', '4_portless', '6_portless']) {
      const side = direction === 'Egress' ? 'out' : 'in'
      const listed = await list(host, ['list', 'set', 'inet', 'horcrux', `drops_${side}${kind}`])
      // The elements of these sets have a counter each.
      for (const element of (listed?.flatMap(({ set }) => set?.elem ?? []) ?? []) as DropElement[]) {
        const [from, to, protocol, port = null] = element.elem.val.concat
        found.push({
          from: String(from),
          to: String(to),
          protocol: String(protocol),
          port: port === null ? null : Number(port),
          direction,
          ...element.elem.counter,
        })
      }
    }
  return found
}

/** Packets and bytes of all counters, by name. */
export async function readCounters(host: Host): Promise<Map<string, { packets: number; bytes: number }>> {
  const listed = await list(host, ['list', 'counters', 'table', 'inet', 'horcrux'])
  return new Map(
    listed?.flatMap(({ counter }) =>
      counter ? [[counter.name, { packets: counter.packets, bytes: counter.bytes }] as const] : [],
    ),
  )
}
