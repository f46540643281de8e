import { Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, nullable, strict } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { VolumeName } from '#shared/contracts/storage/volumes.ts'
import { Snapshot } from '#shared/contracts/vm/snapshots.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

/** Actions for the service that makes backups. */
const byStorage = { can: 'service', callers: ['storage'] } as const

/** UEFI variables and TPM state, compressed, in Base64; null: the guest has none. */
export const GuestState = nullable(Type.String({ maxLength: 16 * 2 ** 20 }))

export const vmBackups = contract('vm-backups', {
  describe: {
    does: 'Describe a virtual machine as it was at one of its snapshots, with its state beside the disks',
    ...byStorage,
    params: strict({ id: Id, snapshot_id: Id }),
    secret: ['guest_state'],
    result: strict({
      vm: strict({
        name: Vm.properties.name,
        description: Type.String(),
        hypervisor: Type.String(),
        tags: Vm.properties.tags,
        node: Id,
      }),
      snapshot: strict({
        taken_at: Snapshot.properties.created_at,
        consistency: Snapshot.properties.consistency,
        vm_status: Snapshot.properties.vm_status,
        config: Snapshot.properties.config,
        disks: Type.Array(
          strict({
            id: Type.String(),
            pool: Id,
            volume: VolumeName,
            format: VolumeFormat,
            size_bytes: Type.Integer(),
            bus: Type.String(),
            cache: Type.String(),
          }),
        ),
      }),
      guest_state: GuestState,
    }),
  },
  putState: {
    does: 'Give a virtual machine that is off the state beside its disks, or keep it for a restore; repeating it is fine',
    ...byStorage,
    params: strict({
      id: Id,
      head: Type.Optional(Type.String({ ...Id, description: 'Keep it for the restore of these heads' })),
      guest_state: Type.String({ maxLength: 16 * 2 ** 20 }),
    }),
    secret: ['guest_state'],
    result: Done,
  },
  restore: {
    does: 'Put heads, which were filled from a backup, in the place of the disks of a virtual machine that is off',
    ...byStorage,
    operation: true,
    audit: 'backup_restored',
    params: strict({
      id: Id,
      snapshot_id: Type.String({ ...Id, description: 'Snapshot of the state before' }),
      head: Type.String({ ...Id, description: 'Names the heads' }),
      config: Snapshot.properties.config,
    }),
    result: Vm,
  },
  replaceBy: {
    does: 'Let another virtual machine run in place of one that is off, with its MAC addresses; this one does not start meanwhile. null: it comes back; repeating it is fine',
    ...byStorage,
    params: strict({ id: Id, other: nullable(Id) }),
    result: Done,
  },
  endRestore: {
    does: 'Give up the state before the last restore of a virtual machine, as its next start does; repeating it is fine',
    ...byStorage,
    params: strict({ id: Id }),
    result: Done,
  },
})
