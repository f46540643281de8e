import type { CloudInit, Ethernet } from '#shared/contracts/vm/cloudinit.ts'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import type { Violation } from '#shared/errors.ts'
import { checkInterfaces, type Interface, type Wrong } from './interfaces.ts'
import { checkNames } from './names.ts'

type Network = NonNullable<CloudInit['network']>

/** Violations of a guest's network settings, given its NICs. */
export function checkEthernets(network: Network, nics: Pick<Nic, 'mac'>[]): Violation[] {
  const found: Violation[] = []
  const wrong: Wrong = (field, code, message) => void found.push({ field, code, message })
  checkNames(network, wrong)
  checkNics(network, nics, wrong)
  checkInterfaces(Object.entries(network.ethernets).map(interfaceOf), wrong)
  return found
}

function checkNics({ ethernets }: Network, nics: Pick<Nic, 'mac'>[], wrong: Wrong): void {
  const used = new Set<string>()
  for (const [index, [name, ethernet]] of Object.entries(ethernets).entries()) {
    const field = `network.ethernets.${name}`
    const mac = ethernet.match?.macaddress ?? nics[index]?.mac
    if (mac === undefined) wrong(field, 'no_nic', `is one too many: the virtual machine has ${nics.length} NIC(s)`)
    else if (nics.every((nic) => nic.mac !== mac))
      wrong(`${field}.match.macaddress`, 'no_nic', `no NIC has the address ${mac}`)
    else if (used.has(mac)) wrong(`${field}.match.macaddress`, 'taken', `${mac} is matched twice`)
    if (mac === undefined) continue
    used.add(mac)
    if (mac !== nics[0]?.mac) checkNotFirst(field, ethernet, wrong)
  }
}

function checkNotFirst(field: string, { gateway, gateway6, nameservers }: Ethernet, wrong: Wrong): void {
  for (const [key, value] of Object.entries({ gateway, gateway6 }))
    if (value !== undefined) wrong(`${field}.${key}`, 'first_only', 'only the first NIC has a gateway')
  if (nameservers) wrong(`${field}.nameservers`, 'first_only', 'only the first NIC has name servers')
}

function interfaceOf([name, ethernet]: [string, Ethernet]): Interface {
  const { addresses = [], gateway, gateway6, nameservers, dhcp4 = addresses.length === 0, dhcp6 = false } = ethernet
  const field = (rest: string) => `network.ethernets.${name}.${rest}`
  const listed = (key: string, texts: string[]) => texts.map((text, at) => ({ field: field(`${key}.${at}`), text }))
  return {
    addresses: listed('addresses', addresses),
    gateways: [
      ...(gateway === undefined ? [] : [{ field: field('gateway'), text: gateway }]),
      ...(gateway6 === undefined ? [] : [{ field: field('gateway6'), text: gateway6, is: 'ipv6' as const }]),
    ],
    nameServers: listed('nameservers.addresses', nameservers?.addresses ?? []),
    dhcp4,
    dhcp6,
  }
}
