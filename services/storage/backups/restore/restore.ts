import type { Params } from '#shared/contract/contract.ts'
import type { backups, RestorePlan } from '#shared/contracts/storage/backups.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { planned, requirePlan } from '#shared/service/plan.ts'
import { apiPathOf, backupRecords, storePathOf } from '../model.ts'
import { acceptNew, planNew, type RestoringNew, runNew } from './to-new.ts'
import { acceptSame, planSame, type RestoringSame, runSame } from './to-same.ts'

type Given = Params<typeof backups, 'restore'>
type Input = RestoringNew | RestoringSame

const planOf = async (given: Given, call: Call): Promise<RestorePlan> => {
  const backup = await backupRecords.require(given.id)
  const { plan } = given.to === 'new' ? await planNew(backup, given, call) : await planSame(backup, given, call)
  // The id of a new VM that was given none is another one each time.
  return planned(
    plan,
    given.vm_id === undefined && given.to === 'new'
      ? { ...plan, vm_id: '', disks: plan.disks.map(({ volume: _, ...disk }) => disk) }
      : plan,
  )
}

export const restore = {
  ...operation({
    accept: async (given: Given, accepting): Promise<Input> => {
      const backup = await backupRecords.require(given.id)
      // Neither a caller nor a retention deletes it meanwhile.
      await accepting.share(apiPathOf(given.id), storePathOf(backup.pool))
      requirePlan(await planOf(given, accepting))
      return given.to === 'new' ? acceptNew(backup, given, accepting) : acceptSame(backup, given, accepting)
    },
    run: (op: Op, input: Input): Promise<Vm> => (input.to === 'new' ? runNew(op, input) : runSame(op, input)),
  }),
  plan: planOf,
}
