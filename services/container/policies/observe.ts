import type { Host } from '#shared/nodes/host/host.ts'
import { canonical, isInBlock } from './addresses.ts'
import type { Gateway } from './world.ts'

/** A link as `ip -j -d address` tells it. */
type Link = {
  ifindex: number
  ifname: string
  link_index?: number
  master?: string
  linkinfo?: { info_kind?: string }
  addr_info: { local: string; prefixlen: number; scope: string }[]
}

const listAddresses = ['-j', '-d', 'address', 'show']
const usual = (text: string) => canonical(text) ?? text

/** Addresses that others reach: those of the link alone and of the loopback are left out. */
const reachable = ({ addr_info }: Link) => addr_info.filter(({ scope }) => scope === 'global' || scope === 'site')

/** The network of a node, as far as policies need it. */
export type NodeNetwork = {
  own: Set<string>
  gateways: Gateway[]
  links: ReadonlyMap<number, { name: string; bridge: string | null }>
  /** Families in which packets between two ports of a bridge are not filtered. */
  unfiltered: string[]
}

const switches = { IPv4: 'bridge-nf-call-iptables', IPv6: 'bridge-nf-call-ip6tables' }

export async function observeNode(host: Host): Promise<NodeNetwork> {
  const [{ stdout }, filter] = await Promise.all([
    host.runChecked('ip', listAddresses),
    host.run(
      'cat',
      Object.values(switches).map((name) => `/proc/sys/net/bridge/${name}`),
    ),
  ])
  const links = JSON.parse(stdout) as Link[]
  const values = filter.stdout.split('\n')
  return {
    own: new Set(links.flatMap(({ addr_info }) => addr_info.map(({ local }) => usual(local)))),
    gateways: links
      .filter(({ linkinfo }) => linkinfo?.info_kind === 'bridge')
      .flatMap((link) =>
        reachable(link).map(({ local, prefixlen }) => ({ address: usual(local), subnet: `${local}/${prefixlen}` })),
      ),
    links: new Map(links.map(({ ifindex, ifname, master }) => [ifindex, { name: ifname, bridge: master ?? null }])),
    unfiltered: Object.keys(switches).filter((_, index) => values[index] !== '1'),
  }
}

export type Nic = { port: string; bridge: string | null; kind: string; addresses: string[] }

/**
 * The network interfaces of a container, read in its network namespace, so that every engine's are found.
 * @returns null for a container in the network of the node; no interfaces for one that has ended
 */
export async function observeContainer(host: Host, pid: number, { links }: NodeNetwork): Promise<Nic[] | null> {
  const namespace = (path: string) => host.run('readlink', [path])
  const [inside, outside] = await Promise.all([namespace(`/proc/${pid}/ns/net`), namespace('/proc/self/ns/net')])
  if (inside.code !== 0) return []
  if (inside.stdout === outside.stdout) return null
  const { code, stdout } = await host.run('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', ...listAddresses])
  if (code !== 0) return []
  return (JSON.parse(stdout) as Link[])
    .filter(({ ifname }) => ifname !== 'lo')
    .map((link) => {
      const port = link.link_index === undefined ? undefined : links.get(link.link_index)
      return {
        port: link.linkinfo?.info_kind === 'veth' ? (port?.name ?? '') : '',
        bridge: port?.bridge ?? null,
        kind: link.linkinfo?.info_kind ?? 'unknown',
        addresses: reachable(link).map(({ local }) => usual(local)),
      }
    })
}

/** Kinds of interfaces whose packets do not pass the filter of the node. */
const bypassing = new Set(['macvlan', 'ipvlan', 'macvtap'])

/** The reason for which policies do not hold for interfaces; null when they do. */
export function gapOf(nics: readonly Nic[] | null, { unfiltered }: Pick<NodeNetwork, 'unfiltered'>): string | null {
  if (nics === null) return 'It shares the network of the node, so its packets are those of the node'
  const outside = nics.find(({ kind }) => bypassing.has(kind))
  if (outside) return `An interface of kind ${outside.kind} sends its packets past the filter of the node`
  if (unfiltered.length > 0 && nics.some(({ bridge }) => bridge !== null))
    return `The node does not filter ${unfiltered.join(' and ')} packets between the ports of a bridge: set net.bridge.${unfiltered.map((name) => switches[name as keyof typeof switches]).join(' and net.bridge.')} to 1`
  return null
}

/** True when an address lies in a network of the node: one of another node cannot be reached by it there. */
export const isOfNetwork = (address: string, gateways: readonly Gateway[]): boolean =>
  gateways.some(({ subnet }) => isInBlock({ cidr: subnet }, address))
