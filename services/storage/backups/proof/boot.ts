import type { Params } from '#shared/contract/contract.ts'
import type { BootCheck, Proof } from '#shared/contracts/storage/backup-proofs.ts'
import type { Backup, backups } from '#shared/contracts/storage/backups.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { unpackError } from '#shared/errors.ts'
import { idOfSeed } from '#shared/ids.ts'
import { now } from '#shared/events/event.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { undoVolume } from '../../volumes/make.ts'
import { apiPathOf, backupRecords, storePathOf, viewOf } from '../model.ts'
import { isLost } from '../nbd/fill-disk.ts'
import { type Building, buildVm, type NewVm } from '../restore/build-vm.ts'
import { acceptNew } from '../restore/to-new.ts'
import { removeGuest } from './guest.ts'
import { recordProof } from './record.ts'
import { watch } from './judge.ts'
import { requireReady } from './verify.ts'

type Proving = Building & { check: BootCheck }

/** The guest reaches no network, is not found by the tags of jobs and rules, and says what it is for. */
const isolated =
  (backup: string) =>
  (request: NewVm): NewVm => ({
    ...request,
    description: `Boot verification of backup ${backup}; it is deleted at its end`,
    tags: [],
    nics: [],
  })

/** Records that a backup has lost bytes, if that is why it could not be restored. Any other failure says nothing about it. */
async function recordLoss(op: Op, backup: string): Promise<void> {
  const failure = (await findEntry(op.id))?.failure
  const error = failure ? unpackError(failure) : null
  if (isLost(error)) await recordProof(backup, { boot: { at: now(), ok: false, error: error.message } })
}

async function runProve(op: Op, proving: Proving): Promise<Backup> {
  const { backup, vm, volumes, check } = proving
  await op.step('beginning', async () => undefined, { undo: () => recordLoss(op, backup) })
  await buildVm(op, proving, isolated(backup))
  const undo = () => removeGuest(vm, `${op.id}/undo`)
  await op.child(vms, 'start', { id: vm }, { name: 'starting', undo })
  const verdict = await op.step('judging', () => watch(vm, check, op.signal))
  await op.commit()
  await op.step('recording', async () => {
    const boot: Proof = { at: now(), ...verdict }
    await recordProof(backup, { boot })
  })
  await op.step('removing guest', () => removeGuest(vm, `${op.id}/end`))
  for (const [index, volume] of volumes.entries())
    await op.step(`removing disk ${index}`, () => undoVolume(volume, null))
  return viewOf(await backupRecords.require(backup))
}

/** Proves that a backup boots. A guest that does not boot is a result, and no failure of the operation. */
export const prove = operation({
  accept: async (
    { id, check, node, pool }: Params<typeof backups, 'prove'>,
    accepting: Accepting,
  ): Promise<Proving> => {
    const backup = await backupRecords.require(id)
    await accepting.share(apiPathOf(id), storePathOf(backup.pool))
    requireReady(backup)
    const vm_id = idOfSeed(accepting.operationId, 'guest of verification')
    const where = { ...(node !== undefined && { node }), ...(pool !== undefined && { pool }) }
    const how = { to: 'new', plan: false, keep_macs: false, start: false } as const
    const given = { id, vm_id, name: `proof-${vm_id}`, ...where, ...how }
    const { to: _, start: _s, ...building } = await acceptNew(backup, given, accepting)
    return { ...building, check: check as BootCheck }
  },
  run: runProve,
})
