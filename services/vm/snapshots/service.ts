import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { implement } from '#shared/service/implement.ts'
import { vmRecords } from '../model.ts'
import { create } from './create.ts'
import { measured } from './disks.ts'
import { snapshotRecords, stateOf, viewOf } from './model.ts'
import { remove } from './remove.ts'
import { restore, snapshotOf, undoRestore } from './restore.ts'
import { treeOf } from './tree.ts'

export const snapshotService = implement(snapshots, {
  list: async ({ id, ...query }) => {
    await vmRecords.require(id)
    const [page, { current }] = await Promise.all([
      // The right is that of the VM.
      snapshotRecords.list(query, { all: true, item: () => true }, { vm_id: id }),
      stateOf(id),
    ])
    return { ...page, data: page.data.map((record) => viewOf(record, current)) }
  },
  get: async ({ id, snapshot_id }) => {
    const { node } = await vmRecords.require(id)
    const record = await snapshotOf(id, snapshot_id)
    return viewOf(record.state === 'ready' ? await measured(record, node) : record, (await stateOf(id)).current)
  },
  tree: ({ id }) => treeOf(id),
  create,
  update: async ({ id, snapshot_id, ...given }) => {
    await snapshotOf(id, snapshot_id)
    const changed = await snapshotRecords.change(snapshot_id, () => ({ set: given }))
    return viewOf(changed, (await stateOf(id)).current)
  },
  delete: remove,
  restore,
  undoRestore,
})
