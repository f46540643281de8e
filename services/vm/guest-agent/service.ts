import { guests } from '#shared/contracts/vm/guests.ts'
import { now } from '#shared/events/event.ts'
import { implement } from '#shared/service/implement.ts'
import { driverOf, requirePart } from '../drivers/drivers.ts'
import { vmRecords } from '../model.ts'
import { requireStatus, settle } from '../state/status.ts'
import { freeze, thaw, thawsAt } from './freeze.ts'

const unknown = {
  connected: false,
  version: null,
  hostname: null,
  os: null,
  interfaces: null,
  filesystems: null,
  frozen: null,
}

export const guestService = implement(guests, {
  agent: async ({ id }) => {
    const vm = await vmRecords.require(id)
    const view = (await driverOf(vm).agent?.view(vm)) ?? {
      ...unknown,
      reason: `Horcrux does not reach the agents in guests of ${vm.hypervisor}`,
    }
    return { vm_id: id, ...view, thaws_at: await thawsAt(id), timestamp: now() }
  },
  freeze: ({ id, seconds }) => freeze(id, seconds),
  thaw: ({ id }) => thaw(id),

  monitor: async ({ id, execute, arguments: words }) => {
    const vm = await settle(id)
    requireStatus(vm, 'ask the monitor of', ['running', 'paused'])
    const lack = (hypervisor: string) => `A virtual machine of ${hypervisor} has no monitor that Horcrux reaches`
    const result = await requirePart(vm, 'monitor', lack).query(vm, execute, words)
    return { vm_id: id, execute, result, timestamp: now() }
  },
})
