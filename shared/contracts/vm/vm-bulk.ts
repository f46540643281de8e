import { contract } from '#shared/contract/contract.ts'
import { BulkParams, BulkPlan, BulkResult } from '#shared/contracts/bulk.ts'
import { vms } from '#shared/contracts/vm/vms.ts'

/** A contract of its own, so that its operations wait in another queue than those that they start. */
export const vmBulk = contract('vm-bulk', {
  run: {
    does: 'Do one action with many virtual machines, each as an operation of its own; those that fail, or cannot do it now, stop no other',
    rest: 'POST /vms/bulk',
    // The right that the action takes is asked for on each VM.
    can: 'signed-in',
    operation: true,
    audit: 'vm_config_changed',
    plan: BulkPlan,
    params: BulkParams(
      ['start', 'shutdown', 'stop', 'restart', 'reset', 'pause', 'resume', 'delete'],
      vms.actions.list.params.properties.q,
    ),
    result: BulkResult,
  },
})
