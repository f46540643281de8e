import type { Rule, Scope } from '#shared/contracts/metrics/alert-parts.ts'
import type { Fleet } from '../collect/fleet.ts'
import type { SubjectName } from '../history/chunks.ts'

/** A subject of a rule; `system` is Horcrux itself. */
export type Judged = { subject: SubjectName | 'system'; resource: string; tags: readonly string[]; name: string }

const system: Judged = { subject: 'system', resource: '/api', tags: [], name: 'Horcrux' }

/**
 * The subjects of a rule. A scope names nodes, tags and resource pools; a VM or container has to fit each of them that is
 * named. The tags of a container are the names of its labels.
 * @param isInPools checks the membership of a resource of this kind
 */
export function subjectsOf(
  { condition, scope }: Pick<Rule, 'condition' | 'scope'>,
  { nodes, ...guests }: Pick<Fleet, 'nodes' | 'vms' | 'containers'>,
  isInPools: (kind: string, id: string, pools: readonly string[]) => boolean,
): Judged[] {
  if (condition.kind === 'check') return [system]
  const fitsNode = (node: string) => scope.nodes.length === 0 || scope.nodes.includes(node)
  if (condition.of === 'nodes')
    return [...nodes.values()].flatMap(({ node: { id, name } }) =>
      fitsNode(id) && !isOfVms(scope)
        ? [{ subject: `nodes/${id}`, resource: `/api/cluster/nodes/${id}`, tags: [], name }]
        : [],
    )
  const of = condition.of
  const kind = of === 'vms' ? 'vm' : 'container'
  return [...guests[of].values()].flatMap(({ id, name, node, tags, status }) => {
    const fits =
      status === 'running' &&
      fitsNode(node) &&
      (scope.tags.length === 0 || scope.tags.some((tag) => tags.includes(tag))) &&
      (scope.resource_pools.length === 0 || isInPools(kind, id, scope.resource_pools))
    return fits ? [{ subject: `${of}/${id}` as const, resource: `/api/${of}/${id}`, tags, name }] : []
  })
}

/** Nodes have neither tags nor resource pools. */
const isOfVms = ({ tags, resource_pools }: Scope) => tags.length > 0 || resource_pools.length > 0
