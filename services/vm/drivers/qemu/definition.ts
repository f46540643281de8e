import { dirname } from 'node:path'
import { defineDomain, renameDomain, undefineDomain } from '#shared/libvirt/domain.ts'
import { domainStates } from '#shared/libvirt/stats.ts'
import { reach } from '#shared/nodes.ts'
import type { Definition, Guest } from '../driver.ts'
import { domainXml } from './domain-xml.ts'
import { serialLogOf, serialSocketOf } from './serial.ts'
import { unlessMissing } from './state.ts'

/** Has the node's libvirt know the guest as it is described, also when it knew it under another name. */
export async function define(vm: Definition): Promise<void> {
  const reached = await reach(vm.node)
  const { host, libvirt } = reached
  const log = serialLogOf(reached, vm.id)
  // virtlogd and QEMU, who are other users, pass through the folder.
  await host.mkdir(dirname(log), { mode: 0o711 })
  const known = (await domainStates(libvirt)).find(({ uuid }) => uuid === vm.domain_uuid)
  if (known && known.name !== vm.name) await renameDomain(libvirt, vm.domain_uuid, vm.name)
  await defineDomain(libvirt, domainXml(vm, { log, socket: serialSocketOf(reached, vm.id) }))
}

/** Makes a guest that is off unknown to its node, with its serial log; one that is gone is fine. */
export async function undefine({ id, node, domain_uuid }: Guest): Promise<void> {
  const reached = await reach(node)
  await unlessMissing(() => undefineDomain(reached.libvirt, domain_uuid), undefined)
  await Promise.all([serialLogOf(reached, id), serialSocketOf(reached, id)].map((path) => reached.host.remove(path)))
}
