import type { Static } from 'typebox'
import type { PublishedPort } from '#shared/contracts/container/networks.ts'
import type { Violation } from '#shared/errors.ts'
import { canonical, contains, parseAddress, parseCidr } from '../policies/addresses.ts'
import type { AttachmentRecord, NetworkRecord } from './models.ts'
import { gatewayOf } from './plan.ts'

type Port = Static<typeof PublishedPort>
type Given = { addresses: readonly string[]; ports: readonly Port[] }

const violation = (field: string, message: string): Violation => ({ field, code: 'invalid', message })

function ofAddress(
  text: string,
  field: string,
  { subnets }: Pick<NetworkRecord, 'subnets'>,
  taken: ReadonlySet<string>,
): Violation[] {
  const address = parseAddress(text)
  if (!address) return [violation(field, 'must be an IP address')]
  const home = subnets.find(({ subnet }) => contains(parseCidr(subnet)!, address))
  if (!home) return [violation(field, `must lie in ${subnets.map(({ subnet }) => subnet).join(' or ')}`)]
  if (canonical(gatewayOf(home)) === canonical(text)) return [violation(field, "is the network's gateway")]
  return taken.has(canonical(text)!) ? [violation(field, 'is the address of another container')] : []
}

const keyOf = ({ host_port, protocol }: Port) => `${host_port}/${protocol}`

/** All violations of a new attachment, also against the others of its network. */
export function violationsOfAttachment(
  { addresses, ports }: Given,
  network: Pick<NetworkRecord, 'subnets' | 'type'>,
  others: readonly Pick<AttachmentRecord, 'addresses' | 'ports' | 'container'>[],
): Violation[] {
  const taken = new Set(others.flatMap((one) => one.addresses.map((address) => canonical(address) ?? address)))
  const found = addresses.flatMap((text, index) => ofAddress(text, `addresses.${index}`, network, taken))
  if (network.type === 'macvlan' && ports.length > 0)
    found.push(violation('ports', 'cannot be published from macvlan: its packets do not pass the node'))
  const published = new Set(others.flatMap((one) => one.ports.map(keyOf)))
  for (const [index, port] of ports.entries()) {
    if (published.has(keyOf(port))) found.push(violation(`ports.${index}.host_port`, 'is published already'))
    published.add(keyOf(port))
  }
  return found
}
