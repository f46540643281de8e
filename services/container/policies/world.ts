import type { Labels, PolicySpec } from '#shared/contracts/container/network-policies.ts'

/** A policy as it is judged. */
export type Policy = PolicySpec & { id: string }

/** A port that an endpoint has given a name. Protocols are written as nftables writes them: `tcp`. */
export type NamedPort = { name: string; protocol: string; port: number }

/** A container, or the guest of a VM, with its addresses. */
export type Endpoint = {
  id: string
  /** Its resource pools. Without one it is in the scope of resources in no resource pool. */
  scopes: readonly string[]
  labels: Labels
  /** In their usual form. */
  addresses: readonly string[]
  ports: readonly NamedPort[]
  /** Its ports on bridges of this node, as far as known, each with the addresses behind it. */
  nics: readonly { port: string; addresses: readonly string[] }[]
  /** True when policies that select it are enforced on this node; else it is only a peer of others. */
  isLocal: boolean
}

/** Everything that a flow is judged by, as one node sees it. */
export type World = {
  endpoints: readonly Endpoint[]
  /** Labels of each resource pool. */
  scopes: ReadonlyMap<string, Labels>
  /** Addresses of the node itself: its traffic into its own endpoints is always allowed. */
  own: ReadonlySet<string>
  /** Those of them that are gateways of networks: their DHCP and DNS are always allowed from the network. */
  gateways: readonly Gateway[]
}

/** The node's address in a network. */
export type Gateway = { address: string; subnet: string }

/** A new connection, or a packet that is not the answer to another. Addresses and port after port mapping. */
export type Flow = { from: string; to: string; protocol: string; port: number | null }

/** Scope of resources in no resource pool, which `null` stands for in a policy. */
export const noPool = ''

export const scopesOf = ({ scopes }: Pick<Endpoint, 'scopes'>): readonly string[] =>
  scopes.length > 0 ? scopes : [noPool]
