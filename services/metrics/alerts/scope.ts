import type { Rule, Scope } from '#shared/contracts/metrics/alert-parts.ts'
import type { Fleet } from '../collect/fleet.ts'
import type { SubjectName } from '../history/chunks.ts'

/** A subject of a rule; `system` is Horcrux itself. */
export type Judged = { subject: SubjectName | 'system'; resource: string; tags: readonly string[]; name: string }

const system: Judged = { subject: 'system', resource: '/api', tags: [], name: 'Horcrux' }

/**
 * The subjects of a rule. A scope names nodes, tags and resource pools; a VM has to fit each of them that is named.
 * @param isInPools checks the membership of a VM
 */
export function subjectsOf(
  { condition, scope }: Pick<Rule, 'condition' | 'scope'>,
  { nodes, vms }: Pick<Fleet, 'nodes' | 'vms'>,
  isInPools: (vm: string, pools: readonly string[]) => boolean,
): Judged[] {
  if (condition.kind === 'check') return [system]
  const fitsNode = (node: string) => scope.nodes.length === 0 || scope.nodes.includes(node)
  if (condition.of === 'nodes')
    return [...nodes.values()].flatMap(({ node: { id, name } }) =>
      fitsNode(id) && !isOfVms(scope)
        ? [{ subject: `nodes/${id}`, resource: `/api/cluster/nodes/${id}`, tags: [], name }]
        : [],
    )
  return [...vms.values()].flatMap(({ id, name, node, tags, status }) => {
    const fits =
      status === 'running' &&
      fitsNode(node) &&
      (scope.tags.length === 0 || scope.tags.some((tag) => tags.includes(tag))) &&
      (scope.resource_pools.length === 0 || isInPools(id, scope.resource_pools))
    return fits ? [{ subject: `vms/${id}`, resource: `/api/vms/${id}`, tags, name }] : []
  })
}

/** Nodes have neither tags nor resource pools. */
const isOfVms = ({ tags, resource_pools }: Scope) => tags.length > 0 || resource_pools.length > 0
