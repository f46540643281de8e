import { hash } from 'node:crypto'
import type { NetworkSpec, Subnet } from '#shared/contracts/container/networks.ts'
import type { Violation } from '#shared/errors.ts'
import { contains, formatAddress, parseAddress, parseCidr, type Range } from '../policies/addresses.ts'
import type { NetworkConfig } from './plugins.ts'

const violation = (field: string, message: string): Violation => ({ field, code: 'invalid', message })

/** The first address of a subnet that a machine can have. */
const firstAddress = ({ family, first }: Range) => formatAddress(family, first + 1n)

export const gatewayOf = ({ subnet, gateway }: Subnet): string => gateway ?? firstAddress(parseCidr(subnet)!)

/** Violations of one subnet that its schema does not find. */
function ofSubnet(given: Subnet, field: string): Violation[] {
  const range = parseCidr(given.subnet)
  if (!range) return [violation(`${field}.subnet`, 'must be a range of addresses such as 10.1.0.0/24 or fd01::/64')]
  if (range.last - range.first < 3n)
    return [violation(`${field}.subnet`, 'must have room for the gateway and a container: at least a /30 or /126')]
  const found: Violation[] = []
  for (const key of ['gateway', 'range_start', 'range_end'] as const) {
    const text = given[key]
    if (text === undefined) continue
    const address = parseAddress(text)
    if (!address) found.push(violation(`${field}.${key}`, 'must be an IP address'))
    else if (!contains(range, address) || address.value === range.first || isBroadcast(range, address.value))
      found.push(violation(`${field}.${key}`, `must be an address of a machine in ${given.subnet}`))
  }
  const [start, end] = [given.range_start, given.range_end].map((text) => (text ? parseAddress(text) : null))
  if (start && end && end.value < start.value)
    found.push(violation(`${field}.range_end`, 'must not be before range_start'))
  return found
}

const isBroadcast = ({ family, last }: Range, value: bigint) => family === 4 && value === last

const overlap = (one: Range, other: Range) =>
  one.family === other.family && one.first <= other.last && other.first <= one.last

type Known = { id: string; subnets: readonly Subnet[] }

/** All violations of a new network, also against the other networks of its node. */
export function violationsOfNetwork(spec: Omit<NetworkSpec, 'id'>, others: readonly Known[]): Violation[] {
  const found = spec.subnets.flatMap((subnet, index) => ofSubnet(subnet, `subnets.${index}`))
  const ranges = spec.subnets.map(({ subnet }) => parseCidr(subnet))
  if (ranges[0] && ranges[1] && ranges[0].family === ranges[1].family)
    found.push(violation('subnets.1.subnet', 'must be of the other family than the first'))
  for (const [index, range] of ranges.entries()) {
    const taken = others.find(({ subnets }) =>
      subnets.some(({ subnet }) => range && overlap(range, parseCidr(subnet)!)),
    )
    if (taken) found.push(violation(`subnets.${index}.subnet`, `overlaps the network '${taken.id}'`))
  }
  if (spec.type === 'macvlan' && !spec.parent) found.push(violation('parent', 'is required for macvlan'))
  if (spec.type === 'bridge' && spec.parent) found.push(violation('parent', 'is for macvlan only'))
  return found
}

/** The bridge of a network: a name of Linux, at most 15 characters. */
export const bridgeOf = (id: string): string => `hx${hash('sha256', id, 'hex').slice(0, 12)}`

const everywhere = { 4: '0.0.0.0/0', 6: '::/0' } as const

/**
 * The configuration of a network for the plug-ins.
 * @param dataDir folder of host-local for the leases
 */
export function configOf(spec: NetworkSpec, dataDir: string): NetworkConfig {
  const { id, type, subnets, parent, mtu, internal } = spec
  const ranges = subnets.map(({ subnet, range_start, range_end, ...given }) => [
    {
      subnet,
      gateway: gatewayOf({ subnet, ...given }),
      ...(range_start && { rangeStart: range_start }),
      ...(range_end && { rangeEnd: range_end }),
    },
  ])
  const routes = internal ? [] : subnets.map(({ subnet }) => ({ dst: everywhere[parseCidr(subnet)!.family] }))
  const common = {
    ...(mtu && { mtu }),
    capabilities: { ips: true, mac: true },
    ipam: { type: 'host-local', dataDir, ranges, routes },
  }
  if (type === 'macvlan') return { name: id, plugins: [{ type, master: parent, mode: 'bridge', ...common }] }
  const bridge = { type, bridge: bridgeOf(id), isGateway: true, hairpinMode: true, ...common }
  return { name: id, plugins: [bridge, { type: 'portmap', snat: true, capabilities: { portMappings: true } }] }
}
