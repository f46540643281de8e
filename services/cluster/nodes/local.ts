import type { Node } from '#shared/contracts/cluster/nodes.ts'
import { localId, nodeRecords } from './model.ts'
import { unchecked } from './unchecked.ts'

/** Registers the machine that this process runs on as the node `local` at the first start; updates it at each later one. */
export async function registerLocal(fixed: Pick<Node, 'allowed_paths' | 'state_dir' | 'name'>): Promise<void> {
  const there = await nodeRecords.get(localId)
  if (there) {
    const { allowed_paths, state_dir } = fixed
    await nodeRecords.updateWhere({ _id: localId }, { set: { allowed_paths, state_dir, facts: null } })
    return
  }
  await nodeRecords.insert({
    ...fixed,
    id: localId,
    kind: 'local',
    engine_config: {},
    address: null,
    ssh_port: null,
    ssh_user: null,
    host_key: null,
    sealed_key: '',
    ...unchecked(),
  })
}
