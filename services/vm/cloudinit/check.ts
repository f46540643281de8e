import type { CloudInit, Ethernet } from '#shared/contracts/vm/cloudinit.ts'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import type { Violation } from '#shared/errors.ts'
import { cidrOf, isAddress, isOfNetwork } from './addresses.ts'

type Wrong = (field: string, code: string, message: string) => void

/** Violations of a guest's network settings, given its NICs. */
export function checkEthernets(network: NonNullable<CloudInit['network']>, nics: Pick<Nic, 'mac'>[]): Violation[] {
  const found: Violation[] = []
  const used = new Set<string>()
  for (const [index, [name, ethernet]] of Object.entries(network.ethernets).entries()) {
    const wrong: Wrong = (field, code, message) =>
      found.push({ field: `network.ethernets.${name}${field}`, code, message })
    const mac = ethernet.match?.macaddress ?? nics[index]?.mac
    if (mac === undefined) wrong('', 'no_nic', `is one too many: the virtual machine has ${nics.length} NIC(s)`)
    else if (nics.every((nic) => nic.mac !== mac)) wrong('.match.macaddress', 'no_nic', `no NIC has the address ${mac}`)
    else if (used.has(mac)) wrong('.match.macaddress', 'taken', `${mac} is matched twice`)
    if (mac !== undefined) used.add(mac)
    checkAddresses(ethernet, wrong)
    if (mac !== undefined && mac !== nics[0]?.mac) checkNotFirst(ethernet, wrong)
  }
  return found
}

function checkAddresses({ addresses = [], gateway, nameservers }: Ethernet, wrong: Wrong): void {
  for (const [at, address] of addresses.entries())
    if (!cidrOf(address) || !isAddress(address.split('/')[0]!))
      wrong(`.addresses.${at}`, 'format', 'must be an address with its prefix, such as 10.0.0.5/24')
  for (const [at, server] of (nameservers?.addresses ?? []).entries())
    if (!isAddress(server)) wrong(`.nameservers.addresses.${at}`, 'format', 'must be an IP address')
  if (gateway === undefined) return
  if (!isAddress(gateway)) wrong('.gateway', 'format', 'must be an IP address')
  else if (!reaches(addresses, gateway)) wrong('.gateway', 'unreachable', 'is in the network of none of its addresses')
}

function checkNotFirst({ gateway, nameservers }: Ethernet, wrong: Wrong): void {
  if (gateway !== undefined) wrong('.gateway', 'first_only', 'only the first NIC has a gateway')
  if (nameservers) wrong('.nameservers', 'first_only', 'only the first NIC has name servers')
}

const reaches = (addresses: string[], gateway: string) =>
  addresses.some((address) => {
    const network = cidrOf(address)
    return network !== undefined && isOfNetwork(gateway, network)
  })
