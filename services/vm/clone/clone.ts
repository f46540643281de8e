import type { Params } from '#shared/contract/contract.ts'
import type { templates } from '#shared/contracts/vm/templates.ts'
import type { vms } from '#shared/contracts/vm/vms.ts'
import { operation } from '#shared/operation/kinds.ts'
import { acceptClone } from './accept.ts'
import { runClone } from './run.ts'

/** Kinds of operations that make clones; clone jobs are views of them. */
export const cloneKinds = ['vms.clone', 'templates.deploy']

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
