import { type Template, templates } from '#shared/contracts/vm/templates.ts'
import { requireRight } from '#shared/access/require-right.ts'
import type { Params } from '#shared/contract/contract.ts'
import { ConflictError, invalid, notFound } from '#shared/errors.ts'
import { newId } from '#shared/ids.ts'
import { type Accepting, operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { throwAll } from '#shared/service/violations.ts'
import { acceptClone } from '../clone/accept.ts'
import { deploy } from '../clone/clone.ts'
import type { CloneInput } from '../clone/input.ts'
import { runClone } from '../clone/run.ts'
import { driverOf } from '../drivers/drivers.ts'
import { requireNoForeign } from '../hardware/foreign.ts'
import { apiPathOf, type VmRecord, viewOf, vmRecords } from '../model.ts'
import { linkedClonesOf, requireNoLinkedClones, requireNoTemplate } from './template-checks.ts'
import { requireStatus, settle, settleAtEnd } from '../state/status.ts'

const templateOf = (vm: VmRecord, clones: Map<string, string[]>): Template => ({
  ...viewOf(vm),
  linked_clones: clones.get(apiPathOf(vm.id)) ?? [],
})

const viewWithClones = async (vm: VmRecord): Promise<Template> => templateOf(vm, await linkedClonesOf([vm]))

async function requireTemplate(id: string): Promise<VmRecord> {
  const vm = await vmRecords.requireForChange(id)
  if (!vm.template) throw notFound('Template', id)
  return vm
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

/** The stored input: the VM that becomes a template. `clone`: it is made of a snapshot first. */
type Making = { id: string; clone?: CloneInput }
type OfSnapshot = Omit<Params<typeof templates, 'create'>, 'vm_id' | 'snapshot'>

/** @throws ValidationError for words about a new template, when a VM itself becomes one */
function requireOnlyOfSnapshot(given: OfSnapshot): void {
  throwAll(
    Object.keys(given).map((field) => ({ field, code: 'contradiction', message: 'is for a template of a snapshot' })),
  )
}

/** Checks the making of a template of a snapshot: it is a clone first. */
async function acceptOfSnapshot(source: string, snapshot: string, given: OfSnapshot, accepting: Accepting) {
  const { name, mode = 'full', id = newId(), ...more } = given
  if (name === undefined) throw invalid('name', 'A template of a snapshot takes a name', 'required')
  requireRight(accepting, 'VmAllocate', apiPathOf(id))
  const wanted = { ...more, id, name, mode, snapshot }
  return { id, clone: await acceptClone({ id: source, privilege: 'VmConfig' }, wanted, accepting) }
}

export const templateService = implement(templates, {
  list: async (query, { maySee }) => {
    const page = await vmRecords.list(query, maySee, { template: true })
    const clones = await linkedClonesOf(page.data)
    return { ...page, data: page.data.map((vm) => templateOf(vm, clones)) }
  },
  get: async ({ id }) => viewWithClones(await requireTemplate(id)),

  create: operation({
    accept: async ({ vm_id: id, snapshot, ...given }, accepting): Promise<Making> => {
      if (snapshot !== undefined) return acceptOfSnapshot(id, snapshot, given, accepting)
      const { hold } = accepting
      requireOnlyOfSnapshot(given)
      await hold(apiPathOf(id))
      requireNoTemplate(await vmRecords.requireForChange(id), 'make a template of')
      const vm = await settle(id)
      requireStatus(vm, 'make a template of', ['stopped'])
      await requireNoLoss(vm)
      await requireNoForeign(vm, 'make a template of')
      return { id }
    },
    run: async (op, { id, clone }: Making): Promise<Template> => {
      if (clone) await runClone(op, clone)
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
