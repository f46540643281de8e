import { describe, expect, test } from 'vitest'
import type { Family } from '../../../services/storage/drivers/driver.ts'
import { deletionOf, type Layers } from '../../../services/storage/drivers/dir/merge-plan.ts'

const folder = '/pool'
/** Layers by their names, each with the one below. */
const layersOf = (below: Record<string, string | null>): Layers =>
  new Map(
    Object.entries(below).map(([file, backing], index) => [
      file,
      { sizeBytes: 100, allocatedBytes: 10 + index, backing: backing === null ? null : `${folder}/${backing}` },
    ]),
  )
const familyOf = (head: string, natives: Record<string, string>, more: Partial<Family> = {}): Family => ({
  volume: { name: 'v', format: 'qcow2', size_bytes: 100, head },
  hasClones: false,
  snapshots: Object.entries(natives).map(([id, native]) => ({ id, native, hasClones: false })),
  keptHeads: [],
  ...more,
})
const chain = layersOf({ 'v.qcow2': null, 'v@1.qcow2': 'v.qcow2', 'v@2.qcow2': 'v@1.qcow2' })
const two = familyOf('v@2.qcow2', { s1: 'v.qcow2', s2: 'v@1.qcow2' })
const branched = layersOf({ 'v.qcow2': null, 'v@1.qcow2': 'v.qcow2', 'v@r.qcow2': 'v.qcow2' })
const split = familyOf('v@r.qcow2', { s1: 'v.qcow2', s2: 'v@1.qcow2' })

describe('the deletion of the layer of a snapshot', () => {
  test('merges the one layer on top of it, by the hypervisor while a guest reads it', () => {
    for (const isRunning of [false, true])
      expect(deletionOf(chain, folder, two, 's1', isRunning)).toMatchObject({
        obstacle: null,
        bytes: 11,
        merge: { top: 'v@1.qcow2', base: 'v.qcow2', above: ['v@2.qcow2'], byHypervisor: isRunning },
      })
  })

  test('copies its content up into several branches, but not while a guest runs on one', () => {
    expect(deletionOf(branched, folder, split, 's1', false)).toMatchObject({
      obstacle: null,
      bytes: 20,
      copies: { from: 'v.qcow2', below: null, into: ['v@1.qcow2', 'v@r.qcow2'] },
    })
    expect(deletionOf(branched, folder, split, 's1', true).obstacle).toMatch(/2 branches.*stop it/)
  })

  test('only removes a layer that nothing reads', () => {
    expect(deletionOf(branched, folder, split, 's2', true)).toMatchObject({
      leaf: 'v@1.qcow2',
      bytes: 0,
      obstacle: null,
    })
  })

  test('is refused while linked clones read it, or the layer on top of it', () => {
    const read = { ...two, snapshots: two.snapshots.map((each) => ({ ...each, hasClones: each.id === 's2' })) }
    expect(deletionOf(chain, folder, read, 's2', false).obstacle).toMatch(/linked clones read from snapshot s2/)
    expect(deletionOf(chain, folder, read, 's1', false).obstacle).toMatch(/linked clones read from snapshot s2/)
    expect(deletionOf(chain, folder, { ...two, hasClones: true }, 's2', false).obstacle).toMatch(/linked clones/)
  })

  test('is refused while the state before a restore reads it', () => {
    const restored = familyOf('v@r.qcow2', { s1: 'v.qcow2' }, { keptHeads: ['v@1.qcow2'] })
    const above = layersOf({ 'v.qcow2': null, 'v@1.qcow2': 'v.qcow2' })
    expect(deletionOf(above, folder, restored, 's1', false).obstacle).toMatch(/before its restore/)
  })

  test('of a snapshot that is gone does nothing', () => {
    expect(deletionOf(chain, folder, two, 'gone', false)).toMatchObject({
      bytes: 0,
      merge: null,
      copies: null,
      leaf: null,
    })
  })
})
