import { type Family, familyOf, isInBlock } from '../addresses.ts'
import { peerSelects, protocolOf } from '../isolation.ts'
import type { Endpoint, World } from '../world.ts'
import type { Group } from './lines.ts'

export type Element = { family: Family; text: string }

/** The elements that an endpoint has in a group, for those of its addresses that no other endpoint has. */
export function elementsOf(
  { scope, peers, named }: Group,
  endpoint: Endpoint,
  addresses: readonly string[],
  scopes: World['scopes'],
): Element[] {
  const bySelector = peers.some((peer) => !peer.ip_block && peerSelects(peer, scope, endpoint, scopes))
  const fits = (address: string) =>
    peers.length === 0 || bySelector || peers.some(({ ip_block }) => ip_block && isInBlock(ip_block, address))
  const members = addresses.filter(fits)
  if (!named) return members.map((address) => ({ family: familyOf(address), text: address }))
  const ports = new Set(
    named.flatMap((asked) =>
      endpoint.ports
        .filter(({ name, protocol }) => name === asked.port && protocol === protocolOf(asked))
        .map(({ protocol, port }) => `${protocol} . ${port}`),
    ),
  )
  return members.flatMap((address) =>
    [...ports].map((port) => ({ family: familyOf(address), text: `${address} . ${port}` })),
  )
}
