import { contract } from '#shared/contract/contract.ts'
import { BulkParams, BulkPlan, BulkResult } from '#shared/contracts/bulk.ts'
import { containers } from '#shared/contracts/container/containers.ts'

/** As `vmBulk`, for containers. */
export const containerBulk = contract('container-bulk', {
  run: {
    does: 'Do one action with many containers, each as an operation of its own; those that fail, or cannot do it now, stop no other',
    rest: 'POST /containers/bulk',
    can: 'signed-in',
    operation: true,
    audit: 'container_config_changed',
    plan: BulkPlan,
    params: BulkParams(
      ['start', 'stop', 'restart', 'pause', 'resume', 'delete'],
      containers.actions.list.params.properties.q,
    ),
    result: BulkResult,
  },
})
