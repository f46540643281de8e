import { call } from '#shared/bus/call.ts'
import { type Template, templates } from '#shared/contracts/vm/templates.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { deploy } from '../clone/clone.ts'
import { driverOf } from '../drivers/drivers.ts'
import { requireNoForeign } from '../hardware/foreign.ts'
import { apiPathOf, type VmRecord, viewOf, vmRecords } from '../model.ts'
import { requireStatus, settle, settleAtEnd } from '../state/status.ts'

/** The linked clones of some VMs, by the VM's path. */
async function clonesOf(vms: Pick<VmRecord, 'id'>[]): Promise<Map<string, string[]>> {
  const { data } = await call(volumesInternal, 'clonesOf', { owners: vms.map(({ id }) => apiPathOf(id)) })
  const found = new Map<string, Set<string>>()
  for (const { owner, clone, used_by } of data)
    found.set(owner, (found.get(owner) ?? new Set()).add(used_by ?? `volume ${clone}`))
  return new Map([...found].map(([owner, users]) => [owner, [...users].toSorted()]))
}

const templateOf = (vm: VmRecord, clones: Map<string, string[]>): Template => ({
  ...viewOf(vm),
  linked_clones: clones.get(apiPathOf(vm.id)) ?? [],
})

const viewWithClones = async (vm: VmRecord): Promise<Template> => templateOf(vm, await clonesOf([vm]))

async function requireTemplate(id: string): Promise<VmRecord> {
  const vm = await vmRecords.requireForChange(id)
  if (!vm.template) throw notFound('Template', id)
  return vm
}

/** @throws ConflictError naming the linked clones that a VM's disks are the base of */
export async function requireNoLinkedClones(vm: Pick<VmRecord, 'id'>, what: string): Promise<void> {
  const clones = (await clonesOf([vm])).get(apiPathOf(vm.id)) ?? []
  if (clones.length === 0) return
  const named = `${clones.slice(0, 10).join(', ')}${clones.length > 10 ? ' …' : ''}`
  throw new ConflictError(
    `'${vm.id}' cannot ${what}: its disks are backing files in use by ${clones.length} linked clone(s): ${named}. Delete those first`,
    { details: { linked_clones: clones } },
  )
}

/** @throws ConflictError for a template: its linked clones read the disks that it would write */
export function requireNoTemplate({ id, template }: Pick<VmRecord, 'id' | 'template'>, action: string): void {
  if (!template) return
  throw new ConflictError(
    `'${id}' is a template; to ${action} it, turn it back into a virtual machine first: DELETE /api/templates/${id}`,
    { details: { template: true } },
  )
}

/** @throws ConflictError naming what a guest would lose with its definition */
async function requireNoLoss(vm: VmRecord): Promise<void> {
  const obstacles = (await driverOf(vm).hostState?.templateObstacles(vm)) ?? []
  if (obstacles.length === 0) return
  throw new ConflictError(`'${vm.id}' cannot become a template without losing state: ${obstacles.join('; ')}`, {
    details: { obstacles },
  })
}

/** Removes a guest's definition from its host; it is kept beside it where the hypervisor can. */
function shelve(vm: VmRecord): Promise<void> {
  const { shelf, undefine } = driverOf(vm)
  return shelf ? shelf.shelve(vm) : undefine(vm)
}

const mark = (id: string, template: boolean) =>
  vmRecords.updateWhere({ _id: id }, { set: { template, defined: !template } })

/** Marks a VM that is still off. A guest that was started by other means is not switched off: undefining would. */
async function markStopped(id: string): Promise<void> {
  requireStatus(await settle(id), 'make a template of', ['stopped'])
  await mark(id, true)
}

export const templateService = implement(templates, {
  list: async (query, { maySee }) => {
    const page = await vmRecords.list(query, maySee, { template: true })
    const clones = await clonesOf(page.data)
    return { ...page, data: page.data.map((vm) => templateOf(vm, clones)) }
  },
  get: async ({ id }) => viewWithClones(await requireTemplate(id)),

  create: operation({
    accept: async ({ vm_id: id }, { hold }) => {
      await hold(apiPathOf(id))
      requireNoTemplate(await vmRecords.requireForChange(id), 'make a template of')
      const vm = await settle(id)
      requireStatus(vm, 'make a template of', ['stopped'])
      await requireNoLoss(vm)
      await requireNoForeign(vm, 'make a template of')
      return { id }
    },
    run: async (op, { id }): Promise<Template> => {
      const vm = await vmRecords.require(id)
      await op.step('marking', () => markStopped(id), { undo: () => mark(id, false) })
      // A guest that the host does not know is not started by other means: that would change the disks that clones read.
      await op.step('undefining domain', () => shelve(vm), { undo: () => driverOf(vm).define(vm) })
      return viewWithClones(await settleAtEnd(id))
    },
  }),

  delete: operation({
    accept: async ({ id }, { hold }) => {
      await hold(apiPathOf(id))
      await requireNoLinkedClones(await requireTemplate(id), 'be turned back into a virtual machine')
      return { id }
    },
    run: async (op, { id }) => {
      const vm = await vmRecords.require(id)
      await op.step('defining domain', () => driverOf(vm).define(vm), { undo: () => shelve(vm) })
      await op.step('unmarking', () => mark(id, false), { undo: () => mark(id, true) })
      return viewOf(await settleAtEnd(id))
    },
  }),

  deploy,
})
