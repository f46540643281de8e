import { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { done } from '../product/run-operation.ts'
import type { Calling, Scenario } from './scenario.ts'

type Given = {
  newVm: object
  twoDisks: object[]
  running: (horcrux: Calling) => Promise<unknown>
  runningWithDisks: (horcrux: Calling) => Promise<unknown>
}

/** The operations on snapshots, and those that begin with one. */
export function snapshotScenarios({ newVm, twoDisks, running, runningWithDisks }: Given): Record<string, Scenario> {
  /** The ids of snapshots are made by the server: a scenario learns its own before it begins. */
  const ofDeletion = { id: 'it', snapshot_id: '' }
  const ofRestore = { id: 'it', snapshot_id: '', restore_memory: false }
  const ofVolume = {
    id: 'images',
    volume: 'it-disk-0',
    node: 'hv1',
    snapshot: '',
    plan: '',
    bytes: 0,
    is_merged: false,
    merge_ms: null,
  }
  const snapshotted = (make: (horcrux: Calling) => Promise<unknown>) => async (horcrux: Calling) => {
    await make(horcrux)
    const { id } = (await done(horcrux, snapshots, 'create', { id: 'it', name: 'one' })) as { id: string }
    for (const params of [ofDeletion, ofRestore]) params.snapshot_id = id
    const disks = [{ id: 'images', volume: 'it-disk-0' }]
    const words = { disks, node: 'hv1', snapshot: id, is_running: false }
    const { data } = await horcrux.call(volumeSnapshots, 'foreseeDeletion', words)
    Object.assign(ofVolume, { snapshot: id, plan: data[0]!.plan, bytes: data[0]!.bytes })
  }
  const offWithDisks = (horcrux: Calling) => done(horcrux, vms, 'create', { ...newVm, disks: twoDisks })
  /** A schedule that keeps one snapshot and has made one. */
  const scheduled = async (horcrux: Calling) => {
    await offWithDisks(horcrux)
    const given = { vm_id: 'it', name: 'nightly', frequency: 'hourly', retention_count: 1, enabled: false }
    await horcrux.call(snapshotSchedules, 'create', { id: 'nightly', ...given } as never)
    await done(horcrux, snapshotSchedules, 'run', { schedule: 'nightly', due: '2026-01-01T00:00:00.000Z' })
  }
  /** A quota that the snapshot of a VM exceeds. */
  const overQuota = async (horcrux: Calling) => {
    await snapshotted(offWithDisks)(horcrux)
    const given = { scope: { kind: 'vm', vm_id: 'it' }, max_count: 0, policy: 'oldest_first' }
    await horcrux.call(snapshotQuotas, 'create', { id: 'tight', name: 'tight', ...given })
  }
  /** A VM with a snapshot, and with a schedule and quotas, one of which is not of it alone. */
  const ruled = async (horcrux: Calling) => {
    await scheduled(horcrux)
    for (const scope of [{ kind: 'vm', vm_id: 'it' }, { kind: 'global' }] as const)
      await horcrux.call(snapshotQuotas, 'create', {
        id: `of-${scope.kind}`,
        name: 'wide',
        scope,
        max_count: 9,
      } as never)
  }
  const restored = async (horcrux: Calling) => {
    await snapshotted(offWithDisks)(horcrux)
    await done(horcrux, snapshots, 'restore', ofRestore)
  }
  const ofClone = { vm: 'it', id: 'copy', name: 'copy', mode: 'full', snapshot: '' }
  const ofTemplate = { vm_id: 'it', id: 'copy', name: 'copy', mode: 'linked', snapshot: '' }
  const cloneable = (params: { snapshot: string }) => async (horcrux: Calling) => {
    await snapshotted(runningWithDisks)(horcrux)
    params.snapshot = ofDeletion.snapshot_id
  }

  return {
    'snapshots.create': { before: runningWithDisks, params: { id: 'it', name: 'one' } },
    'snapshots.create with memory': {
      kind: 'snapshots.create',
      before: running,
      params: { id: 'it', name: 'one', include_memory: true },
    },
    'snapshots.delete': { before: snapshotted(offWithDisks), params: ofDeletion },
    'snapshots.delete of a guest that runs': {
      kind: 'snapshots.delete',
      before: snapshotted(runningWithDisks),
      params: ofDeletion,
    },
    'snapshot-schedules.run': {
      before: scheduled,
      params: { schedule: 'nightly', due: '2026-01-02T00:00:00.000Z' },
    },
    'snapshot-quotas.enforce': { before: overQuota, params: { id: 'tight' } },
    'vms.delete with its schedules and quotas': {
      kind: 'vms.delete',
      before: ruled,
      params: { id: 'it', purge: true },
    },
    'snapshots.restore': { before: snapshotted(offWithDisks), params: ofRestore },
    'snapshots.undoRestore': { before: restored, params: { id: 'it' } },
    'volume-snapshots.remove': { before: snapshotted(offWithDisks), params: ofVolume },
    'vms.clone of a snapshot': { kind: 'vms.clone', before: cloneable(ofClone), params: ofClone },
    'templates.create of a snapshot': { kind: 'templates.create', before: cloneable(ofTemplate), params: ofTemplate },
  }
}
