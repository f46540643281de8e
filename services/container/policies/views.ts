import { isOfNetwork } from './observe.ts'
import type { Everything } from './gather.ts'
import type { Endpoint, World } from './world.ts'

/**
 * The endpoints as one node sees them: its own, and those of other nodes as peers, except where their address belongs to a
 * network of this node, and so leads to something else.
 */
export function endpointsFor(node: string, { found, networks }: Everything): Endpoint[] {
  const gateways = networks.get(node)?.gateways ?? []
  return found.map(({ node: on, endpoint }) =>
    on === node
      ? endpoint
      : {
          ...endpoint,
          addresses: endpoint.addresses.filter((address) => !isOfNetwork(address, gateways)),
          nics: [],
          isLocal: false,
        },
  )
}

/** Everything as one node sees it. */
export function worldOf(node: string, everything: Everything): World {
  const network = everything.networks.get(node)
  return {
    endpoints: endpointsFor(node, everything),
    scopes: everything.scopes,
    own: network?.own ?? new Set(),
    gateways: network?.gateways ?? [],
  }
}
