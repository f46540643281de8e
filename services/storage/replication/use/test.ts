import type { Params } from '#shared/contract/contract.ts'
import type { BootCheck } from '#shared/contracts/storage/backup-proofs.ts'
import type { Replica, replicas } from '#shared/contracts/storage/replicas.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { event, now } from '#shared/events/event.ts'
import { idOfSeed } from '#shared/ids.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { removeGuest } from '../../backups/proof/guest.ts'
import { type Verdict, watch } from '../../backups/proof/judge.ts'
import { undoVolume } from '../../volumes/make.ts'
import { replicaPathOf, replicaRecords, viewOf } from '../model.ts'
import { type CopyOfPoint, makeCopy, planCopy } from './copy-point.ts'

type Testing = CopyOfPoint & { check: BootCheck; keep: boolean }

async function record({ replica, vm }: Testing, { ok, error, ...verdict }: Verdict): Promise<void> {
  const at = now()
  const told = event('ReplicaTested', { replica_id: replica, vm_id: vm, ok, error, timestamp: at })
  await replicaRecords.updateWhere({ _id: replica }, { set: { test: { at, ok, error, ...verdict } }, events: [told] })
}

/** A copy that does not boot is a result, and no failure of the operation. */
async function run(op: Op, testing: Testing): Promise<Replica> {
  const { replica, vm, volumes, check, keep } = testing
  await makeCopy(op, testing, (request) => ({
    ...request,
    description: `Test start of replica ${replica}`,
    tags: [],
    nics: [],
  }))
  await op.child(vms, 'start', { id: vm }, { name: 'starting', undo: () => removeGuest(vm, `${op.id}/undo`) })
  const verdict = await op.step('judging', () => watch(vm, check, op.signal))
  await op.commit()
  await op.step('recording', () => record(testing, verdict))
  if (!keep) {
    await op.step('removing guest', () => removeGuest(vm, `${op.id}/end`))
    for (const [index, { target }] of volumes.entries())
      await op.step(`removing disk ${index}`, () => undoVolume(target, null))
  }
  return viewOf(await replicaRecords.require(replica))
}

export const test = operation({
  accept: async ({ id, point_id, check, keep }: Params<typeof replicas, 'test'>, accepting): Promise<Testing> => {
    // A run of its job goes on meanwhile, and deletes no point that is being copied.
    await accepting.share(replicaPathOf(id))
    const vm = idOfSeed(accepting.operationId, 'guest of test')
    const copied = await planCopy(
      await replicaRecords.require(id),
      { point_id, vm, name: `test-${vm}`, macs: [] },
      accepting,
    )
    return { ...copied, check: check as BootCheck, keep }
  },
  run,
})
