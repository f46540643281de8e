import type { TreeNode } from '#shared/contracts/vm/snapshots.ts'
import { vmRecords } from '../model.ts'
import { settle } from '../state/status.ts'
import { byAge } from './age.ts'
import { type SnapshotRecord, snapshotRecords, stateOf, volumesOf } from './model.ts'
import { foretell } from './remove.ts'
import { clonesOfSnapshots } from './with-vm.ts'

type Place = Pick<SnapshotRecord, 'id' | 'parent_id' | 'created_at' | 'sequence'>

/** Snapshots in the order of a tree: each one after its parent, branches by age. `depth`: how many are above. */
export function inTreeOrder<T extends Place>(all: readonly T[]): { snapshot: T; depth: number; children: string[] }[] {
  const known = new Set(all.map(({ id }) => id))
  const children = new Map<string | null, T[]>()
  for (const each of all.toSorted(byAge)) {
    // A parent that is gone leaves a root.
    const parent = each.parent_id !== null && known.has(each.parent_id) ? each.parent_id : null
    children.set(parent, [...(children.get(parent) ?? []), each])
  }
  const ordered: { snapshot: T; depth: number; children: string[] }[] = []
  const waiting = (children.get(null) ?? []).map((snapshot) => ({ snapshot, depth: 0 })).toReversed()
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { snapshot, depth } = next
    const below = children.get(snapshot.id) ?? []
    ordered.push({ snapshot, depth, children: below.map(({ id }) => id) })
    for (const child of below.toReversed()) waiting.push({ snapshot: child, depth: depth + 1 })
  }
  return ordered
}

/** The snapshots of a VM as a tree, each with the cost of its deletion. */
export async function treeOf(id: string) {
  await vmRecords.require(id)
  const [vm, all, { current, before }, clones] = await Promise.all([
    settle(id),
    snapshotRecords.all({ vm_id: id }),
    stateOf(id),
    clonesOfSnapshots(id),
  ])
  const data = await Promise.all(
    inTreeOrder(all).map(async ({ snapshot, depth, children }): Promise<TreeNode> => {
      const { id: own, name, state, parent_id, created_at } = snapshot
      const foretold = state === 'ready' ? await foretell(vm, own, volumesOf(snapshot.disks)) : []
      return {
        id: own,
        name,
        state,
        parent_id,
        children,
        is_current: own === current,
        depth,
        dependents: clones.filter(({ snapshot: of }) => of === own).map(({ user }) => user),
        created_at,
        deletion: {
          bytes: foretold.reduce((sum, { bytes }) => sum + bytes, 0),
          seconds: secondsOf(foretold),
          obstacles: foretold.flatMap(({ obstacle }) => obstacle ?? []),
        },
      }
    }),
  )
  return { current, can_undo_restore: before !== undefined, data }
}

/** The sum of the seconds; null while one of them is unknown. */
export function secondsOf(foretold: readonly { seconds: number | null }[]): number | null {
  let sum = 0
  for (const { seconds } of foretold) {
    if (seconds === null) return null
    sum += seconds
  }
  return sum
}
