import type { Node, Reach } from '#shared/contracts/cluster/nodes.ts'
import type { StoredNode } from './stored-node.ts'
import { withOlderNames } from './older-names.ts'

/** A record as callers see it: without the key. */
export function viewOf(node: StoredNode): Node {
  const { sealed_key: _, ...view } = withOlderNames(node)
  return view
}

/** Address of a node and its engines, for services. */
export const reachOf = (node: StoredNode): Reach => ({
  id: node.id,
  name: node.name,
  kind: node.kind,
  address: node.address ?? '',
  port: node.ssh_port ?? 22,
  user: node.ssh_user ?? '',
  host_key: node.host_key ?? '',
  sealed_key: node.sealed_key,
  engine_config: node.engine_config,
  allowed_paths: node.allowed_paths,
  state_dir: node.state_dir,
  accel: node.facts?.accel ?? null,
  architecture: node.facts?.architecture ?? null,
  maintenance: node.maintenance,
})
