import type { CloudInit, Ethernet } from '#shared/contracts/vm/cloudinit.ts'
import type { NetworkConfig } from '#shared/contracts/vm/clones.ts'
import type { Violation } from '#shared/errors.ts'
import { checkInterfaces, type Interface, type Told, type Wrong } from './interfaces.ts'

/** Violations of a network configuration for a guest with this number of NICs. */
export function checkNetwork(config: NetworkConfig, nics: number): Violation[] {
  const { ip_addresses, gateway, gateway6, dns_servers = [] } = config
  const found: Violation[] = []
  const wrong: Wrong = (field, code, message) => void found.push({ field: `network_config.${field}`, code, message })
  if (ip_addresses && ip_addresses.length !== nics)
    wrong('ip_addresses', 'count', `must have one for each NIC: ${nics}, not ${ip_addresses.length}`)
  const gateways: Interface['gateways'] = [
    ...(gateway === undefined ? [] : [{ field: 'gateway', text: gateway }]),
    ...(gateway6 === undefined ? [] : [{ field: 'gateway6', text: gateway6, is: 'ipv6' as const }]),
  ]
  if (nics === 0)
    for (const { field } of gateways) wrong(field, 'no_nic', 'there is no NIC that it could be reached by')
  const nameServers = dns_servers.map((text, at) => ({ field: `dns_servers.${at}`, text }))
  const [first = interfaceOf(undefined, 0), ...others] = (ip_addresses ?? []).map(interfaceOf)
  checkInterfaces([{ ...first, nameServers, gateways: nics === 0 ? [] : gateways }, ...others], wrong)
  for (const { field } of twiceDhcp(ip_addresses ?? [])) wrong(field, 'taken', 'is said twice')
  return found
}

type Addresses = NonNullable<NetworkConfig['ip_addresses']>[number]

/** The words of a NIC in `ip_addresses`, with their fields; without any it is DHCP. */
function toldOf(given: Addresses | undefined, index: number): Told[] {
  const field = `ip_addresses.${index}`
  if (typeof given !== 'object') return [{ field, text: given ?? 'dhcp' }]
  return given.map((text, at) => ({ field: `${field}.${at}`, text }))
}

const isDhcp = (text: string) => text === 'dhcp' || text === 'dhcp6'

function interfaceOf(given: Addresses | undefined, index: number): Interface {
  const told = toldOf(given, index)
  const has = (word: string) => told.some(({ text }) => text === word)
  const addresses = told.filter(({ text }) => !isDhcp(text))
  return { addresses, gateways: [], nameServers: [], dhcp4: has('dhcp'), dhcp6: has('dhcp6') }
}

const twiceDhcp = (all: Addresses[]): Told[] =>
  all
    .map(toldOf)
    .flatMap((told) => told.filter(({ text }, at) => isDhcp(text) && told.findIndex((one) => one.text === text) < at))

/** The cloud-init settings of a clone from its network configuration. */
export function settingsOf(
  { hostname, ip_addresses, gateway, gateway6, dns_servers = [], domain }: NetworkConfig & { hostname: string },
  macs: string[],
): Pick<CloudInit, 'hostname' | 'fqdn' | 'network'> {
  const nameservers = {
    ...(dns_servers.length > 0 && { addresses: dns_servers }),
    ...(domain !== undefined && { search: [domain] }),
  }
  const first = {
    ...(gateway !== undefined && { gateway }),
    ...(gateway6 !== undefined && { gateway6 }),
    ...(Object.keys(nameservers).length > 0 && { nameservers }),
  }
  const nics = macs.map((macaddress, index): [string, Ethernet] => {
    const { addresses, dhcp4, dhcp6 } = interfaceOf(ip_addresses?.[index], index)
    return [
      `eth${index}`,
      {
        match: { macaddress },
        dhcp4,
        ...(dhcp6 && { dhcp6 }),
        ...(addresses.length > 0 && { addresses: addresses.map(({ text }) => text) }),
        ...(index === 0 && first),
      },
    ]
  })
  return {
    hostname,
    ...(domain !== undefined && { fqdn: `${hostname}.${domain}` }),
    network: { version: 2, ethernets: Object.fromEntries(nics) },
  }
}
