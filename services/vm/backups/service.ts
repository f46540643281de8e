import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { implement } from '#shared/service/implement.ts'
import { vmRecords } from '../model.ts'
import { requireReady, snapshotOf } from '../snapshots/restore.ts'
import { endRestore } from '../snapshots/restored.ts'
import { snapshotsOf } from '../snapshots/taking.ts'
import { requireStatus, settle } from '../state/status.ts'
import { restore, stateKeyOf } from './restore.ts'

export const vmBackupService = implement(vmBackups, {
  describe: async ({ id, snapshot_id }) => {
    const vm = await vmRecords.require(id)
    const snapshot = await snapshotOf(id, snapshot_id)
    requireReady(snapshot)
    const { name, description, hypervisor, tags, node } = vm
    const { created_at: taken_at, consistency, vm_status, config } = snapshot
    const packed = await snapshotsOf(vm).pack(vm, snapshot_id)
    return {
      vm: { name, description, hypervisor, tags, node },
      snapshot: {
        taken_at,
        consistency,
        vm_status,
        config,
        disks: snapshot.disks.map(({ id: place, pool, volume, format, size_bytes, bus, cache }) => {
          return { id: place, pool, volume, format, size_bytes, bus, cache }
        }),
      },
      guest_state: packed?.toString('base64') ?? null,
    }
  },

  putState: async ({ id, head, guest_state }) => {
    const vm = await settle(id)
    requireStatus(vm, 'give a state to', ['stopped'])
    const part = snapshotsOf(vm)
    const bytes = Buffer.from(guest_state, 'base64')
    if (head !== undefined) {
      await part.unpack(vm, stateKeyOf(head), bytes)
      return null
    }
    const key = stateKeyOf(id)
    try {
      await part.unpack(vm, key, bytes)
      await part.restoreState(vm, key)
    } finally {
      await part.drop(vm, key)
    }
    return null
  },

  restore,

  replaceBy: async ({ id, other }) => {
    if (other !== null) requireStatus(await settle(id), 'replace', ['stopped'])
    await vmRecords.updateWhere({ _id: id }, { set: { replaced_by: other ?? undefined } })
    return null
  },

  endRestore: async ({ id }) => {
    await endRestore(id)
    return null
  },
})
