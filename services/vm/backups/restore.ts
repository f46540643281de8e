import type { Params } from '#shared/contract/contract.ts'
import type { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { throwAll } from '#shared/service/violations.ts'
import { requirePaths } from '../hardware/paths.ts'
import { apiPathOf, viewOf, vmRecords } from '../model.ts'
import { putState } from '../snapshots/model.ts'
import { planRestore, type Restoring, swapAll } from '../snapshots/restore.ts'
import { endRestore } from '../snapshots/restored.ts'
import { snapshotsOf } from '../snapshots/taking.ts'
import { settleAtEnd } from '../state/status.ts'

/** The key under which a state waits for the restore of heads. */
export const stateKeyOf = (head: string): string => `${head}-backup`

/**
 * Swaps heads in that were filled from a backup. It is a restore to the snapshot that was taken right before, with other
 * bytes in its heads: until its next start the VM can be brought back by the undo of a restore.
 */
export const restore = operation({
  accept: async ({ id, config, ...given }: Params<typeof vmBackups, 'restore'>, { hold }): Promise<Restoring> => {
    await hold(apiPathOf(id))
    const restoring = await planRestore({ id, restore_memory: false, ...given }, config)
    const violations: Violation[] = []
    // A configuration of then: its kernel may lie in a folder that is not allowed any more.
    await requirePaths(await reach(restoring.node), { iso: null, ...restoring.hardware.boot }, violations)
    throwAll(violations)
    return { ...restoring, stateKey: stateKeyOf(given.head) }
  },
  run: async (op: Op, restoring: Restoring): Promise<Vm> => {
    const { vm: id, snapshot, head } = restoring
    const vm = await vmRecords.require(id)
    const part = snapshotsOf(vm)
    await op.step('ending earlier restore', () => endRestore(id))
    await swapAll(op, restoring)
    await op.commit()
    await op.step('recording', async () => {
      await putState({ id, current: snapshot, before: restoring.before })
      await part.drop(vm, stateKeyOf(head))
    })
    return viewOf(await settleAtEnd(id))
  },
})
