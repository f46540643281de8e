import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, ListQuery, oneOf, Page, record, Time, Version, nullable } from '#shared/contracts/common.ts'
import { OperationState } from '#shared/contracts/core/operations.ts'
import { CloneMode } from '#shared/contracts/storage/volumes.ts'

export const CloneStage = oneOf(
  'preparing',
  'cloning_disk',
  'generating_macs',
  'configuring_network',
  'creating_cloud_init',
  'finalizing',
)
export type CloneStage = Static<typeof CloneStage>

/** View of the operation that makes a clone; its id is the operation's. */
export const CloneJob = record('target_name status mode progress_percent source_vm_id target_vm_id id')({
  id: Type.String(),
  source_vm_id: Type.String(),
  target_vm_id: Type.String(),
  target_name: Type.String(),
  mode: CloneMode,
  status: OperationState,
  stage: nullable(CloneStage),
  progress_percent: Type.Number({ minimum: 0, maximum: 100 }),
  bytes_copied: Type.Integer({ 'x-unit': 'bytes' }),
  total_bytes: Type.Integer({
    description:
      'Bytes of data in the disks, of those of a guest that runs their whole size; 0 for a linked clone, and until it is measured',
  }),
  consistency: nullable(
    Type.Enum(['filesystem', 'crash'], {
      description:
        'Of a guest that ran: its file systems were frozen when it was copied, or they are as after a power cut; else null',
    }),
  ),
  elapsed_seconds: Type.Number(),
  remaining_seconds: nullable(Type.Number({ description: 'Expected; null when that is not known' })),
  error: nullable(Type.String()),
  user: Type.String(),
  created_at: Time,
  started_at: nullable(Time),
  ended_at: nullable(Time),
  version: Version,
})
export type CloneJob = Static<typeof CloneJob>

/**
 * A job is visible with VmAudit on the source or the clone, and to the user who started it; for others it does not exist.
 * That user, and VmAllocate on the clone, may cancel and delete it.
 */
export const cloneJobs = contract('clone-jobs', {
  list: {
    does: 'List the clones that are being made or were made, the newest first',
    rest: 'GET /clone-jobs',
    can: 'signed-in',
    params: ListQuery('status', 'user', 'mode', 'source_vm_id', 'target_vm_id'),
    result: Page(CloneJob),
  },
  get: {
    does: 'Get a clone job',
    rest: 'GET /clone-jobs/{id}',
    can: 'signed-in',
    params: ById,
    result: CloneJob,
    computed: true,
  },
  cancel: {
    does: 'Cancel a clone; nothing is left of it',
    rest: 'POST /clone-jobs/{id}/cancel',
    can: 'signed-in',
    audit: 'vm_config_changed',
    params: ById,
    result: CloneJob,
  },
  delete: {
    does: 'Forget a clone job that has ended; the clone stays',
    rest: 'DELETE /clone-jobs/{id}',
    can: 'signed-in',
    audit: 'vm_config_changed',
    params: ById,
    result: Done,
    status: 204,
  },
})
