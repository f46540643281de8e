import type { CloudInit, Ethernet } from '#shared/contracts/vm/cloudinit.ts'
import type { NetworkConfig } from '#shared/contracts/vm/clones.ts'
import type { Violation } from '#shared/errors.ts'
import { cidrOf, isAddress, isOfNetwork } from './addresses.ts'

/** Violations of a network configuration for a guest with this number of NICs. */
export function checkNetwork(config: NetworkConfig, nics: number): Violation[] {
  const { ip_addresses = [], gateway, dns_servers = [] } = config
  const found: Violation[] = []
  const wrong = (field: string, code: string, message: string) =>
    found.push({ field: `network_config.${field}`, code, message })

  if (config.ip_addresses && ip_addresses.length !== nics)
    wrong('ip_addresses', 'count', `must have one for each NIC: ${nics}, not ${ip_addresses.length}`)
  const seen = new Set<string>()
  for (const [index, address] of ip_addresses.entries()) {
    if (address === 'dhcp') continue
    const host = address.split('/')[0]!
    if (!cidrOf(address) || !isAddress(host))
      wrong(`ip_addresses.${index}`, 'format', 'must be an address with its prefix, such as 10.0.0.5/24, or dhcp')
    else if (seen.has(host)) wrong(`ip_addresses.${index}`, 'taken', `${host} is another NIC's`)
    seen.add(host)
  }
  if (gateway !== undefined) checkGateway(gateway, ip_addresses[0], nics, wrong)
  for (const [index, server] of dns_servers.entries())
    if (!isAddress(server)) wrong(`dns_servers.${index}`, 'format', 'must be an IP address')
  return found
}

function checkGateway(
  gateway: string,
  first: string | undefined,
  nics: number,
  wrong: (field: string, code: string, message: string) => void,
): void {
  if (!isAddress(gateway)) return void wrong('gateway', 'format', 'must be an IP address')
  if (nics === 0) return void wrong('gateway', 'no_nic', 'there is no NIC that it could be reached by')
  if (first === undefined || first === 'dhcp')
    return void wrong('gateway', 'dhcp', 'comes by DHCP: give the first NIC an address, or leave it out')
  const network = cidrOf(first)
  if (network && !isOfNetwork(gateway, network)) wrong('gateway', 'unreachable', `is not in the network of ${first}`)
}

/** The cloud-init settings of a clone from its network configuration. */
export function settingsOf(
  { hostname, ip_addresses, gateway, dns_servers = [], domain }: NetworkConfig & { hostname: string },
  macs: string[],
): Pick<CloudInit, 'hostname' | 'fqdn' | 'network'> {
  const nameservers = {
    ...(dns_servers.length > 0 && { addresses: dns_servers }),
    ...(domain !== undefined && { search: [domain] }),
  }
  const nics = macs.map((macaddress, index): [string, Ethernet] => {
    const address = ip_addresses?.[index] ?? 'dhcp'
    const isFirst = index === 0
    return [
      `eth${index}`,
      {
        match: { macaddress },
        ...(address === 'dhcp' ? { dhcp4: true } : { dhcp4: false, addresses: [address] }),
        ...(isFirst && gateway !== undefined && { gateway }),
        ...(isFirst && Object.keys(nameservers).length > 0 && { nameservers }),
      },
    ]
  })
  return {
    hostname,
    ...(domain !== undefined && { fqdn: `${hostname}.${domain}` }),
    network: { version: 2, ethernets: Object.fromEntries(nics) },
  }
}
