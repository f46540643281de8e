import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, nullable, oneOf, strict, Time } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { MemoryProbe } from '#shared/contracts/migration/forecast.ts'
import { GuestProbe } from '#shared/contracts/migration/health.ts'
import { Disk } from '#shared/contracts/vm/hardware.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

/** Actions for the service of migrations only. */
const byMigration = { can: 'service', callers: ['migration'] } as const

/** Numbers of a move, from the hypervisor; null where it does not tell. */
export const MoveProgress = strict({
  ram_total_bytes: Type.Integer(),
  ram_transferred_bytes: Type.Integer(),
  ram_remaining_bytes: Type.Integer(),
  disk_total_bytes: Type.Integer(),
  disk_transferred_bytes: Type.Integer(),
  rate_bytes_per_second: nullable(Type.Number()),
  dirty_bytes_per_second: nullable(Type.Number()),
  iteration: nullable(Type.Integer()),
  throttle_percent: nullable(Type.Number()),
  elapsed_ms: nullable(Type.Integer()),
  downtime_ms: nullable(Type.Integer({ description: 'Expected while it runs, measured when it has ended' })),
  post_copy_at: Type.Optional(
    nullable({ ...Time, description: 'From here on the guest ran on the target, and the rest of its memory followed' }),
  ),
})
export type MoveProgress = Static<typeof MoveProgress>

const CheckedViolation = strict({ field: Type.String(), code: Type.String(), message: Type.String() })

/** A disk at the target: the same volume where both nodes reach it, else the one that its bytes go to. */
export const TargetDisk = strict({
  id: Disk.properties.id,
  source_pool: Id,
  source_volume: Type.String(),
  pool: Id,
  volume: Type.String(),
  format: VolumeFormat,
  is_copied: Type.Boolean(),
})
export type TargetDisk = Static<typeof TargetDisk>

const place = { id: Id, target: Id }
const moved = { ...place, disks: Type.Array(TargetDisk, { maxItems: 64 }) }

/** Parts of a migration that only the service of virtual machines can do; each may be repeated. */
export const moves = contract('moves', {
  check: {
    does: 'List everything of a guest and of a node that keeps it from moving there',
    ...byMigration,
    params: strict({ ...place, is_live: Type.Boolean() }),
    result: strict({
      vm: Vm,
      has_snapshots: Type.Boolean(),
      is_ha: Type.Boolean({ description: 'HA starts it elsewhere when its node is lost' }),
      violations: Type.Array(CheckedViolation),
      warnings: Type.Array(Type.String()),
    }),
  },
  begin: {
    does: 'Note that a VM is moving, so that its status is read on both nodes',
    ...byMigration,
    params: strict({ ...place, operation: Type.String() }),
    result: strict({ is_paused: Type.Boolean(), is_off: Type.Boolean() }),
  },
  transfer: {
    does: 'Move a guest that runs, or is paused, to another node; it ends with the guest on the target, or on the source',
    ...byMigration,
    operation: true,
    audit: 'vm_migrated',
    params: strict({
      ...moved,
      is_paused: Type.Boolean(),
      bandwidth_mib: Type.Integer({ 'x-unit': 'MiB/s' }),
      auto_converge: Type.Boolean(),
      post_copy: Type.Optional(Type.Boolean({ description: 'Once it does not come to an end' })),
      max_downtime_ms: Type.Integer({ description: 'It ends without a move when the pause would be longer' }),
    }),
    result: nullable(MoveProgress),
  },
  progress: {
    does: 'Read the numbers of a move that runs; null when none does',
    ...byMigration,
    params: strict({ id: Id }),
    result: nullable(MoveProgress),
  },
  halt: {
    does: 'Shut a guest down before it moves while off, by force when it does not listen',
    ...byMigration,
    operation: true,
    audit: 'vm_stopped',
    params: strict({ id: Id, timeout_seconds: Type.Integer() }),
    result: Done,
  },
  carry: {
    does: 'Define a guest that is off on another node, with its files beside the disks',
    ...byMigration,
    params: strict(moved),
    result: Done,
  },
  take: {
    does: 'Record that a VM is on another node',
    ...byMigration,
    params: strict(moved),
    result: Vm,
  },
  start: {
    does: 'Start a guest that was off for its move, on one of its two nodes',
    ...byMigration,
    params: strict({ id: Id, node: Id, is_paused: Type.Boolean() }),
    result: Done,
  },
  probe: {
    does: 'Read what the checks of the health of a guest compare, before its move and after it',
    ...byMigration,
    params: strict({ id: Id }),
    result: GuestProbe,
  },
  memory: {
    does: 'Read the memory of a guest that runs, and how fast it changes, for a forecast; takes a second',
    ...byMigration,
    params: strict({ id: Id }),
    result: MemoryProbe,
  },
  announce: {
    does: 'Have the network learn where a guest is; one that is off is fine',
    ...byMigration,
    params: strict({ id: Id }),
    result: Done,
  },
  settle: {
    does: 'Find out on which of two nodes a guest is after an interrupted move, and clear the other one; a post-copy is resumed',
    ...byMigration,
    params: strict({ ...place, is_paused: Type.Boolean() }),
    result: strict({ is_at: oneOf('source', 'target') }),
  },
  forget: {
    does: 'Remove the definition and the files of a guest from a node that it is not on',
    ...byMigration,
    params: strict({ id: Id, node: Id }),
    result: Done,
  },
  end: {
    does: 'Note that a VM is not moving any more',
    ...byMigration,
    params: strict({ id: Id, operation: Type.String() }),
    result: Done,
  },
})
