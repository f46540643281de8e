import type { Service } from '#shared/service/start.ts'
import { containerArchiveService } from './backups/service.ts'
import { containerBulkService } from './bulk.ts'
import { containerActions } from './containers.ts'
import { containerSnapshotService } from './copies/snapshots.ts'
import { imageService } from './images/images.ts'
import { networkService } from './networks/actions.ts'
import { watchNetworks } from './networks/watch.ts'
import { policyService } from './policies/actions.ts'
import { watchPolicies } from './policies/watch.ts'
import { pruneService } from './prune/prune.ts'
import { stackService } from './stacks/stacks.ts'
import { watchNodes } from './state/watch.ts'
import { containerStreamActions } from './streams/actions.ts'
import { sweepStreams } from './streams/sweep.ts'

export const containerService: Service = {
  name: 'container',
  serves: [
    containerActions,
    containerBulkService,
    containerStreamActions,
    imageService,
    containerSnapshotService,
    containerArchiveService,
    pruneService,
    stackService,
    networkService,
    policyService,
  ],
  start: async () => {
    const ends = [watchNodes(), watchNetworks(), watchPolicies()]
    const endStreams = sweepStreams()
    return async () => {
      for (const end of ends) end()
      await endStreams()
    }
  },
}
