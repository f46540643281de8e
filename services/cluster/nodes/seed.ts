import { seal } from '#shared/config/secrets.ts'
import { fill } from '#shared/db/fill.ts'
import type { SimulatedNode } from '#shared/nodes/simulated/world.ts'
import { nodeRecords } from './model.ts'
import type { StoredNode } from './stored-node.ts'
import { unchecked } from './unchecked.ts'

/** No host listens there: the checks of a host key end at once. */
const port = 1

/** The records of the nodes of a simulation, before any service runs. */
export const seedNodes = (nodes: readonly SimulatedNode[]): Promise<void> =>
  fill<StoredNode>(
    nodeRecords,
    nodes.map(({ id }, index) => ({
      ...unchecked(),
      id,
      name: id,
      kind: 'ssh',
      address: `127.1.${index >> 8}.${index & 255}`,
      ssh_port: port,
      ssh_user: 'root',
      // A key that no host has.
      host_key: `SHA256:${'A'.repeat(43)}`,
      sealed_key: seal('a simulated host has no key', 'node'),
      allowed_paths: ['/var/lib/horcrux'],
      state_dir: '/var/lib/horcrux',
      engine_config: {},
    })),
  )
