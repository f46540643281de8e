import type { Host } from '#shared/nodes/host/host.ts'
import { add, type Attaching, type CniResult, type PortMapping, remove } from './plugins.ts'

/** Addresses without their prefix length. */
export const addressesOf = ({ ips = [] }: CniResult): string[] => ips.map(({ address }) => address.split('/')[0]!)

/** The port of the bridge that leads to the container: the interface outside its namespace that is not the bridge. */
export const portOf = ({ interfaces = [] }: CniResult): string | null =>
  interfaces.find(({ sandbox, name }) => !sandbox && name.startsWith('veth'))?.name ?? null

/**
 * Forgets the UDP flows of published ports. The kernel would otherwise send a client's next datagrams where it sent the last
 * ones: to the node itself before the mapping, or to a container that has gone.
 */
export async function forgetUdpFlows(host: Host, mappings: readonly PortMapping[]): Promise<void> {
  for (const { hostPort } of mappings.filter(({ protocol }) => protocol === 'udp'))
    for (const family of ['ipv4', 'ipv6'])
      // Its exit code is 1 when there is no flow.
      await host.run('conntrack', ['-D', '-f', family, '-p', 'udp', '--orig-port-dst', String(hostPort)])
}

/** Attaches a container, with the addresses that it had before if any. */
export async function attach(host: Host, about: Attaching, addresses: readonly string[] = []): Promise<CniResult> {
  const wanted = addresses.length > 0 ? { ...about.capabilities, ips: [...addresses] } : about.capabilities
  const result = await add(host, { ...about, capabilities: wanted })
  await forgetUdpFlows(host, about.capabilities.portMappings ?? [])
  return result
}

/** Detaches a container by that with which it was attached. */
export async function detach(host: Host, about: Attaching, result: CniResult | null): Promise<void> {
  await remove(host, about, result ?? undefined)
  await forgetUdpFlows(host, about.capabilities.portMappings ?? [])
}

/**
 * Attaches a container that was started again, in its new namespace: with the addresses that it had.
 * @param before the attachment of its last run, whose namespace may be gone
 */
export async function reattach(
  host: Host,
  { before, result }: { before: Attaching; result: CniResult | null },
  now: Attaching,
): Promise<CniResult> {
  await detach(host, before, result)
  return attach(host, now, result ? addressesOf(result) : [])
}
