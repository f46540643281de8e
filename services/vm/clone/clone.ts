import type { Params } from '#shared/contract/contract.ts'
import type { templates } from '#shared/contracts/vm/templates.ts'
import type { CrossClonePlan } from '#shared/contracts/vm/clones.ts'
import type { Vm, vms } from '#shared/contracts/vm/vms.ts'
import { operation, type OperationHandler } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { acceptClone } from './accept.ts'
import { acceptAcross, showPlan } from './across/accept.ts'
import { runClone } from './run.ts'

/** Kinds of operations that make clones; clone jobs are views of them. */
export const cloneKinds = ['vms.clone', 'vms.cloneCrossNode', 'templates.deploy']

export const clone = operation({
  accept: ({ vm, ...given }: Params<typeof vms, 'clone'>, accepting) =>
    // A copy gives access to all data of the guest.
    acceptClone({ id: vm, privilege: 'VmConfig' }, given, accepting),
  run: runClone,
})

export const deploy = operation({
  accept: ({ template, ...given }: Params<typeof templates, 'deploy'>, accepting) =>
    acceptClone({ id: template, privilege: 'VmAudit', mode: 'linked', isTemplate: true }, given, accepting),
  run: runClone,
})

type Across = Params<typeof vms, 'cloneCrossNode'>

export const cloneCrossNode: OperationHandler<Across, Vm> & {
  plan: (given: Across, asked: Call) => Promise<CrossClonePlan>
} = {
  ...operation({ accept: ({ plan: _, ...given }: Across, accepting) => acceptAcross(given, accepting), run: runClone }),
  plan: ({ plan: _, ...given }, asked) => showPlan(given, asked),
}
