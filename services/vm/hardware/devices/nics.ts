import type { Params } from '#shared/contract/contract.ts'
import type { devices } from '#shared/contracts/vm/devices.ts'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import type { Violation } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { driverOf } from '../../drivers/drivers.ts'
import { macKeyOf } from '../macs.ts'
import { apiPathOf, viewOf, vmRecords } from '../../model.ts'
import { planNics } from '../plan.ts'
import { throwAll } from '#shared/service/violations.ts'
import { settleAtEnd } from '../../state/status.ts'
import { nicIn } from './named.ts'
import { free, give, ofItem, plugAgain, requireForDevices, takeAway, undoGive } from './apply.ts'

const most = 16

export const attachNic = operation({
  accept: async ({ id, ...given }: Params<typeof devices, 'attachNic'>, { hold, reserve }: Accepting) => {
    await hold(apiPathOf(id))
    if (given.mac) await reserve(macKeyOf(given.mac))
    const vm = await requireForDevices(id, 'attach a NIC to')
    const violations: Violation[] = []
    const [nic] = (await planNics([given], violations)) as [Nic]
    if (vm.nics.length >= most)
      violations.push({ field: 'id', code: 'full', message: `'${id}' has ${most} NICs, the most that there can be` })
    const lacking = await driverOf(vm).check(await reach(vm.node), { ...vm, nics: [...vm.nics, nic] })
    violations.push(...lacking.filter(({ field }) => field.startsWith(`nics.${vm.nics.length}`)))
    throwAll(ofItem(violations))
    await reserve(macKeyOf(nic.mac))
    return { id, nic }
  },
  run: async (op, { id, nic }) => {
    await op.commit()
    await op.step('attaching', () => give(id, { nic }), { undo: () => undoGive(id, { nic }) })
    return viewOf(await settleAtEnd(id))
  },
})

export const detachNic = operation({
  accept: async ({ id, nic: named, timeout }: Params<typeof devices, 'detachNic'>, { hold }: Accepting) => {
    await hold(apiPathOf(id))
    const vm = await requireForDevices(id, 'detach a NIC from')
    const nic = nicIn(vm, named)
    return { id, nic, timeout }
  },
  run: async (op, { id, nic, timeout }) => {
    const vm = await vmRecords.require(id)
    await op.step('waiting for the guest', () => free(vm, { nic }, timeout, op.signal), {
      undo: () => plugAgain(id, { nic }),
    })
    await op.commit()
    await op.step('detaching', () => takeAway(id, { nic }), { undo: () => give(id, { nic }) })
    return viewOf(await settleAtEnd(id))
  },
})
