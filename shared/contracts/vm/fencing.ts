import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, nullable, oneOf, Path, strict } from '#shared/contracts/common.ts'
import { Vm, VmStatus } from '#shared/contracts/vm/vms.ts'

/** Beginning of the names of lease files, which lie beside disks and are no volumes. */
export const leasePrefix = '.horcrux-lease-'

/** Seconds without a read of the lease after which a guard ends its guest. */
export const guardUnreadableSeconds = 20
/** Time for a read, the turns of the guard's loop and the end of the process. */
const marginSeconds = 15
/** Time after the raise of an epoch by which the guard of the former guest has ended it, also on a node without storage. */
export const guardDeadlineMs = (guardUnreadableSeconds + marginSeconds) * 1000

/** Actions for the service of clusters only. */
const byCluster = { can: 'service', callers: ['cluster'] } as const

/** A VM under HA, as failover sees it. */
const ProtectedVm = strict({
  id: Id,
  node: Id,
  status: VmStatus,
  desired_state: Vm.properties.desired_state,
  epoch: Type.Integer({ description: 'Raised before each start by HA; a guest of an older one must not run' }),
  lease: nullable(Path),
  is_guarded: Type.Boolean({ description: 'The guard of its guest ran when its node last answered' }),
  is_moving: Type.Boolean(),
  is_lost: Type.Boolean({
    description: 'It is off on its node: that has booted since it was seen to run, or its guard has ended it',
  }),
  lost_storage: nullable(
    Type.Enum(['away', 'back'], {
      description: 'Its guard has ended it because its storage did not answer; back: it does again. null: otherwise',
    }),
  ),
  old_nodes: Type.Array(Id, { description: 'Nodes that may still have its former definition or guest' }),
})
export type ProtectedVm = Static<typeof ProtectedVm>

/**
 * Evidence that the guest does not run on its former node. `node`: the node answered, and it is off. `guard`: its guard
 * reported that it has ended it. `deadline`: its guard must have ended it by now. `confirmed`: a user said so.
 */
export const Proof = oneOf('node', 'guard', 'deadline', 'confirmed')
export type Proof = Static<typeof Proof>

const place = { id: Id, target: Id }

/** Parts of a failover that only the service of virtual machines can do; each may be repeated. */
export const fencing = contract('fencing', {
  list: {
    does: 'List the VMs under HA',
    ...byCluster,
    params: strict({}),
    result: Type.Array(ProtectedVm),
  },
  check: {
    does: 'List everything of a VM that would be missing on another node; with a target also what that node lacks',
    ...byCluster,
    params: strict({ id: Id, target: Type.Optional(Id) }),
    result: strict({
      violations: Type.Array(strict({ field: Type.String(), code: Type.String(), message: Type.String() })),
    }),
  },
  protect: {
    does: 'Put a VM under HA: its lease is written beside its disks, and a guard watches its guest',
    ...byCluster,
    params: strict({ id: Id }),
    result: Done,
  },
  release: {
    does: 'Take a VM out of HA: its guard ends, its lease is removed',
    ...byCluster,
    params: strict({ id: Id }),
    result: Done,
  },
  raise: {
    does: 'Raise the epoch of a VM in its record, then in its lease, written from the node that takes over',
    ...byCluster,
    params: strict({ ...place, epoch: Type.Integer({ description: 'The new epoch' }) }),
    result: Done,
  },
  prove: {
    does: 'Wait until there is evidence that the guest does not run on its former node',
    ...byCluster,
    params: strict({
      ...place,
      is_confirmed: Type.Boolean(),
      accepts_deadline: Type.Boolean(),
    }),
    result: Proof,
  },
  take: {
    does: 'Record that a VM is on the node that takes over',
    ...byCluster,
    params: strict(place),
    result: Done,
  },
  start: {
    does: 'Start the guest of a VM on its node; null, or the refusal of the node',
    ...byCluster,
    params: strict({ id: Id }),
    result: nullable(Type.String()),
  },
})
