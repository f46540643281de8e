import { dirname } from 'node:path'
import { NotFoundError } from '#shared/errors.ts'
import { defineDomain, domainState, renameDomain } from '#shared/libvirt/domain.ts'
import { domainStates } from '#shared/libvirt/stats.ts'
import { type Reached, reach } from '#shared/nodes.ts'
import { type Definition, domainXml } from './domain-xml.ts'
import { type VmRecord, vmRecords } from './model.ts'

/** The file on a node that has what a guest wrote to its serial console since its last start. */
export const serialLogOf = ({ node }: Pick<Reached, 'node'>, id: string) => `${node.state_dir}/serial/${id}.log`

/** Has the node's libvirt know the guest as the record describes it; harmless when it does already. */
export async function define(vm: Definition & { node: string }): Promise<void> {
  const reached = await reach(vm.node)
  const log = serialLogOf(reached, vm.id)
  // virtlogd and QEMU, who are other users, pass through the folder.
  await reached.host.mkdir(dirname(log), { mode: 0o711 })
  await defineDomain(reached.libvirt, domainXml(vm, log))
}

/** As {@link define}, for a guest that may be known under another name. */
export async function redefine(vm: VmRecord): Promise<void> {
  const { libvirt } = await reach(vm.node)
  const known = (await domainStates(libvirt)).find(({ uuid }) => uuid === vm.domain_uuid)
  if (known && known.name !== vm.name) await renameDomain(libvirt, vm.domain_uuid, vm.name)
  await define(vm)
}

/** Defines the guest anew when its record has changed since, or its host has lost it. */
export async function ensureDefined(vm: VmRecord): Promise<void> {
  const { libvirt } = await reach(vm.node)
  const known = await unlessMissing(() => domainState(libvirt, vm.domain_uuid), null)
  if (vm.defined && known) return
  await redefine(vm)
  await vmRecords.updateWhere({ _id: vm.id, version: vm.version }, { set: { defined: true } })
}

/** The answer, or something else when the domain is not there. */
export async function unlessMissing<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof NotFoundError) return otherwise
    throw error
  }
}
