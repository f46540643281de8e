import { call } from '#shared/call.ts'
import { type Vm, vms } from '#shared/contracts/vms.ts'
import { volumes } from '#shared/contracts/volumes.ts'
import { ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { reach } from '#shared/nodes.ts'
import { requireFree } from '#shared/operation/locks.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service.ts'
import { forgetConsoles } from './consoles/models.ts'
import { create } from './create.ts'
import { driverOf } from './drivers/drivers.ts'
import { pathOf, type VmRecord, viewOf, vmRecords } from './model.ts'
import { requirePaths, throwAll } from './plan.ts'
import * as power from './power.ts'
import { requireStatus, settle } from './status.ts'

/** Fields that the host's definition is made of: a change of them waits for the next start while the guest runs. */
const hardware = ['name', 'memory', 'cpus', 'iso', 'boot', 'graphics', 'video'] as const

export const vmService = implement(vms, {
  list: async (query, { maySee }) => {
    const page = await vmRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await vmRecords.require(id)),
  stats: async ({ id }) => {
    const vm = await vmRecords.require(id)
    return { vm_id: id, status: vm.status, ...(await driverOf(vm).stats(vm)), timestamp: now() }
  },
  serial: async ({ id }) => {
    const vm = await vmRecords.require(id)
    return { text: await driverOf(vm).serialText(vm) }
  },

  create,
  ...power,

  update: async ({ id, ...given }) => {
    const before = await vmRecords.requireForChange(id)
    await requireFree(pathOf(id))
    await requireChangeable(before, given)
    const isHardware = hardware.some((field) => given[field] !== undefined)
    const changed = await vmRecords.change(id, ({ status }) => ({
      set: { ...given, ...(isHardware && { defined: false, pending_restart: status !== 'stopped' }) },
    }))
    if (!isHardware) return viewOf(changed)
    // A crash before this line is made good by the next start, which defines what is not defined.
    await driverOf(changed).define(changed)
    return viewOf(
      (await vmRecords.updateWhere({ _id: id, version: changed.version }, { set: { defined: true } })) ?? changed,
    )
  },

  delete: operation({
    accept: async ({ id, purge }, { hold }) => {
      await hold(pathOf(id))
      const vm = await vmRecords.requireForChange(id)
      if (vm.protected) throw new ConflictError(`Virtual machine '${id}' is protected: set protected to false first`)
      requireStatus(await settle(id), 'delete', ['stopped'])
      const { name, hypervisor, node, domain_uuid, disks } = vm
      return { id, name, hypervisor, node, domain_uuid, disks, purge }
    },
    run: async (op, vm) => {
      await op.commit()
      await op.step('undefining domain', () => driverOf(vm).undefine(vm))
      for (const disk of vm.disks)
        await op.step(`${vm.purge ? 'deleting' : 'releasing'} disk ${disk.id}`, () => letGo(vm, disk))
      await op.step('unregistering', () => unregister(op, vm))
      return null
    },
  }),
})

type Deleted = Pick<VmRecord, 'id' | 'name'> & { purge: boolean }

async function letGo({ id, purge }: Deleted, { pool, volume }: Vm['disks'][number]): Promise<void> {
  await call(volumes, purge ? 'deleteFor' : 'detach', { id: pool, volume, owner: pathOf(id) })
}

async function unregister(op: Op, { id, name }: Deleted): Promise<void> {
  await forgetConsoles(id)
  await vmRecords.removeWhere({ _id: id })
  op.emit(event('VmDeleted', { vm_id: id, name, timestamp: now() }))
}

async function requireChangeable(vm: VmRecord, given: Partial<Vm>): Promise<void> {
  if (given.name !== undefined && given.name !== vm.name && vm.status !== 'stopped')
    throw new ConflictError(`Virtual machine '${vm.id}' is ${vm.status}; to rename it, it must be stopped`)
  const violations: Parameters<typeof throwAll>[0] = []
  await requirePaths(await reach(vm.node), { iso: given.iso ?? null, ...given.boot }, violations)
  throwAll(violations)
}
