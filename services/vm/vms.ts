import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { viewsOf } from '#shared/db/cache/views.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { adopt } from './adoption/adopt.ts'
import { unmanaged } from './adoption/unmanaged.ts'
import { clone, cloneCrossNode } from './clone/clone.ts'
import { dropSeed } from './cloudinit/model.ts'
import { forgetConsoles } from './consoles/models.ts'
import { create } from './lifecycle/create.ts'
import { driverOf, requirePart } from './drivers/drivers.ts'
import { apiPathOf, type VmRecord, viewOf, vmRecords } from './model.ts'
import { releaseBases } from './hardware/bases.ts'
import { isInPool, type Pooled } from './hardware/plan.ts'
import { watched } from './state/watched.ts'
import * as power from './lifecycle/power.ts'
import { deletionOf } from './lifecycle/events.ts'
import { removeRulesOf } from './schedules/removal.ts'
import { purgeSnapshots, requireDeletable } from './snapshots/with-vm.ts'
import { requireStatus, settle } from './state/status.ts'
import { requireNoLinkedClones } from './lifecycle/template-checks.ts'
import { update } from './hardware/update.ts'

const views = viewsOf(vmRecords, viewOf)

export const vmService = implement(vms, {
  list: (query, { maySee }) => views.list(query, maySee),
  get: ({ id }) => views.require(id),
  stats: async ({ id }) => {
    const vm = await vmRecords.require(id)
    const statistics = requirePart(vm, 'statistics', (hypervisor) => `${hypervisor} counts nothing of its guests`)
    return { vm_id: id, status: vm.status, ...(await statistics.read(vm)), timestamp: now() }
  },
  serial: async ({ id }) => {
    const vm = await vmRecords.require(id)
    const lack = (hypervisor: string) => `${hypervisor} keeps nothing of the serial consoles of its guests`
    return { text: await requirePart(vm, 'serialLog', lack).text(vm) }
  },

  watched,
  create,
  unmanaged,
  adopt,
  clone,
  cloneCrossNode,
  ...power,

  update,

  delete: operation({
    accept: async ({ id, purge }, { hold }) => {
      await hold(apiPathOf(id))
      const vm = await vmRecords.requireForChange(id)
      if (vm.protected) throw new ConflictError(`Virtual machine '${id}' is protected: set protected to false first`)
      if (vm.ha) throw new ConflictError(`Virtual machine '${id}' is under HA: DELETE /api/ha/resources/${id} first`)
      requireStatus(await settle(id), 'delete', ['stopped'])
      if (vm.template) await requireNoLinkedClones(vm, 'be deleted')
      const kept = await requireDeletable(vm, purge)
      const { name, hypervisor, node, handle, disks } = vm
      return { id, name, hypervisor, node, handle, disks, purge, kept }
    },
    run: async (op, vm) => {
      // A guest that was started by other means since is not switched off: undefining would.
      await op.step('looking again', async () => requireStatus(await settle(vm.id), 'delete', ['stopped']))
      await op.commit()
      await op.step('undefining domain', () => driverOf(vm).undefine(vm))
      const pooled = vm.disks.filter(isInPool)
      // A version without snapshots has written no `kept`.
      const kept = vm.kept ?? []
      if (kept.length > 0) await op.step('deleting snapshots', () => purgeSnapshots({ ...vm, disks: pooled }, kept))
      for (const disk of vm.disks.filter(isInPool))
        await op.step(`${vm.purge ? 'deleting' : 'releasing'} disk ${disk.id}`, () => letGo(vm, disk))
      for (const disk of vm.disks.filter((each) => !isInPool(each)))
        if (disk.reads) await op.step(`releasing backing files of ${disk.id}`, () => releaseBases(vm.id, disk))
      await op.step('removing seed', () => dropSeed(vm))
      await op.step('unregistering', () => unregister(op, vm))
      await op.step('removing schedules and quotas', () => removeRulesOf(vm.id))
      await op.step('forgetting rights', () => call(permissions, 'forget', { path: apiPathOf(vm.id) }))
      return null
    },
  }),
})

type Deleted = Pick<VmRecord, 'id' | 'name'> & { purge: boolean }

async function letGo({ id, purge }: Deleted, { pool, volume }: Pooled): Promise<void> {
  await call(volumesInternal, purge ? 'deleteFor' : 'detach', { id: pool, volume, owner: apiPathOf(id) })
}

async function unregister(op: Op, vm: Deleted): Promise<void> {
  const deletion = await deletionOf(vm)
  await forgetConsoles(vm.id)
  await vmRecords.removeWhere({ _id: vm.id }, deletion.for)
  op.emit(deletion)
}
