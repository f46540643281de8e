import {
  type Address,
  addressOf,
  type Family,
  isLinkLocal,
  isOfNetwork,
  normalOf,
  type Placed,
  placedOf,
  whyOfNetwork,
  whyUnusable,
} from './addresses.ts'

/** A value of the request and its field. */
export type Told = { field: string; text: string }

/** The addresses of one interface of a guest, as the request gives them. */
export type Interface = {
  addresses: Told[]
  /** `is`: the only family that the field takes; absent when it takes both. */
  gateways: (Told & { is?: Family })[]
  nameServers: Told[]
  dhcp4: boolean
  dhcp6: boolean
}

export type Wrong = (field: string, code: string, message: string) => void

/** Reports every violation in the addresses of a guest's interfaces, of each alone and between them. */
export function checkInterfaces(interfaces: Interface[], wrong: Wrong): void {
  const own = interfaces.flatMap(({ addresses }) => addresses.flatMap(({ text }) => placedOf(text) ?? []))
  const seen = new Set<string>()
  for (const [index, one] of interfaces.entries()) {
    for (const told of one.addresses) checkAddress(told, index, seen, wrong)
    for (const told of one.nameServers) checkNameServer(told, wrong)
    checkGateways(one, own, wrong)
  }
}

function checkAddress({ field, text }: Told, index: number, seen: Set<string>, wrong: Wrong): void {
  const placed = placedOf(text)
  if (!placed) return wrong(field, 'format', 'must be an address with its prefix, such as 10.0.0.5/24')
  const { address, bits } = placed
  const why = whyUnusable(address) ?? whyOfNetwork(address, placed)
  if (why) return wrong(field, 'unusable', `${text} is ${why}: no interface can have it`)
  if (bits === 0) return wrong(field, 'unusable', 'must have a prefix of at least 1 bit')
  // Each link has link-local addresses of its own.
  const key = isLinkLocal(address) ? `${normalOf(address)}%${index}` : normalOf(address)
  if (seen.has(key)) wrong(field, 'taken', `${text.split('/')[0]!} is given twice`)
  seen.add(key)
}

function checkNameServer({ field, text }: Told, wrong: Wrong): void {
  const address = addressOf(text)
  if (!address) return wrong(field, 'format', 'must be an IP address')
  // A resolver of the guest's own is reached at a loopback address.
  const why = address.range() === 'loopback' ? undefined : whyUnusable(address)
  if (why) wrong(field, 'unusable', `${text} is ${why}: no name server can have it`)
}

function checkGateways(one: Interface, own: Placed[], wrong: Wrong): void {
  const families = new Set<Family>()
  for (const { field, text, is } of one.gateways) {
    const address = addressOf(text)
    if (!address) wrong(field, 'format', 'must be an IP address')
    else if (is && address.kind() !== is) wrong(field, 'family', `must be an ${nameOf(is)} address`)
    else if (families.has(address.kind())) wrong(field, 'taken', `is a second ${nameOf(address.kind())} gateway`)
    else checkGateway(address, { field, text }, one, own, wrong)
    if (address) families.add(address.kind())
  }
}

function checkGateway(gateway: Address, { field, text }: Told, one: Interface, own: Placed[], wrong: Wrong): void {
  const family = gateway.kind()
  const why = whyUnusable(gateway)
  if (why) return wrong(field, 'unusable', `${text} is ${why}: no gateway can have it`)
  if (own.some(({ address }) => normalOf(address) === normalOf(gateway)))
    return wrong(field, 'own_address', `${text} is the guest's own address`)
  const network = own.find((placed) => isOfNetwork(gateway, placed))
  const notHost = family === 'ipv4' && network ? whyOfNetwork(gateway, network) : undefined
  if (notHost) return wrong(field, 'unusable', `${text} is ${notHost}: no gateway can have it`)
  const isGiven = one.addresses.some(({ text: address }) => familyOf(address) === family)
  // DHCPv6 gives no gateway (RFC 8415): routers announce it, or the request names it.
  if (isGiven || (family === 'ipv6' && one.dhcp6)) return
  if (family === 'ipv4' && one.dhcp4)
    return wrong(field, 'dhcp', 'comes by DHCP: give the interface an address, or leave the gateway out')
  wrong(field, 'no_address', `needs an ${nameOf(family)} address beside it`)
}

/** The family of an address by its notation, also of one that is malformed. */
const familyOf = (text: string): Family => (text.includes(':') ? 'ipv6' : 'ipv4')
const nameOf = (family: Family) => (family === 'ipv4' ? 'IPv4' : 'IPv6')

/** True when a gateway lies outside the prefixes of all addresses: only the link itself can reach it. */
export function isOnLink(gateway: string, addresses: readonly string[]): boolean {
  const address = addressOf(gateway)
  return (
    address !== undefined &&
    !addresses.some((text) => {
      const placed = placedOf(text)
      return placed !== undefined && isOfNetwork(address, placed)
    })
  )
}
