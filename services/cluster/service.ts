import { hostname } from 'node:os'
import { config } from '#shared/config/config.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Service } from '#shared/service/start.ts'
import { drainService } from './drain/service.ts'
import { haGroupService, haResourceService, haService } from './ha/service.ts'
import { watchHa } from './ha/watch.ts'
import { checkNode, watchHealth } from './health/watch.ts'
import { registerLocal } from './nodes/local.ts'
import { localId, nodeRecords } from './nodes/model.ts'
import { nodeService } from './nodes.ts'
import { placementRuleService } from './placement/rules.ts'
import { placementService } from './placement/service.ts'
import { rehearsalService } from './rehearsal/service.ts'

/** A host name as a node's name, which has only letters, digits, _ and -. */
const nameOf = (host: string) => host.replaceAll(/[^A-Za-z0-9_-]/g, '-').slice(0, 255)

export const clusterService: Service = {
  name: 'cluster',
  serves: [
    nodeService,
    placementRuleService,
    placementService,
    drainService,
    haGroupService,
    haResourceService,
    haService,
    rehearsalService,
  ],
  start: async () => {
    const { allowedPaths, dataDir } = config()
    await registerLocal({ name: nameOf(hostname()), allowed_paths: allowedPaths, state_dir: dataDir }).catch(
      (error: unknown) => {
        // Another replica was faster.
        if (!(error instanceof ConflictError)) throw error
      },
    )
    const local = await nodeRecords.require(localId)
    await checkNode(local, 'quick')
    const ends = [watchHealth(), watchHa()]
    return () => {
      for (const end of ends) end()
    }
  },
}
