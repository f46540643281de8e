import type { Gap } from '#shared/contracts/container/network-policies.ts'
import type { Everything } from './gather.ts'
import { isolating } from './isolation.ts'
import type { Policy } from './world.ts'

/** Gaps of containers and VMs that a policy isolates, and of nodes that do not answer. */
export function gapsFor(policies: readonly Policy[], { found, unreachable }: Everything): Gap[] {
  const directions = ['Ingress', 'Egress'] as const
  const ofEndpoints = found.flatMap(({ node, endpoint, gap }) =>
    gap && directions.some((direction) => isolating(policies, endpoint, direction).length > 0)
      ? [{ node, resource: endpoint.id, reason: gap }]
      : [],
  )
  const ofNodes =
    policies.length > 0 ? [...unreachable].map(([node, reason]) => ({ node, resource: null, reason })) : []
  return [...ofEndpoints, ...ofNodes]
}
