import { dirname } from 'node:path'
import { defineDomain, domainXml as xmlOf, renameDomain, setAutostart, undefineDomain } from '#shared/libvirt/domain.ts'
import type { HostConnection } from '#shared/libvirt/host-connection.ts'
import { reach } from '#shared/nodes.ts'
import type { Definition, Guest } from '../driver.ts'
import { domainXml } from './domain-xml.ts'
import { mergeDomain, unmarked } from './merge.ts'
import { serialLogOf, serialSocketOf } from './serial.ts'
import { unlessMissing } from './state.ts'
import { at, parseXml, textOf } from './xml.ts'

/** What the next start of a domain uses, with its secrets: without them they would be lost when it is defined again. */
export const inactiveXml = (libvirt: HostConnection, uuid: string) =>
  xmlOf(libvirt, uuid, { inactive: true, secure: true })

/**
 * Has the node's libvirt know the guest as it is described. Of a domain that is there, only what Horcrux owns changes;
 * it is found by its UUID, also under another name.
 */
export async function define(vm: Definition): Promise<void> {
  const reached = await reach(vm.node)
  const { host, libvirt } = reached
  const log = serialLogOf(reached, vm.id)
  // virtlogd and QEMU, who are other users, pass through the folder.
  const [there] = await Promise.all([
    unlessMissing(() => inactiveXml(libvirt, vm.domain_uuid), null),
    host.mkdir(dirname(log), { mode: 0o711 }),
  ])
  const wanted = domainXml(vm, { log, socket: serialSocketOf(reached, vm.id) })
  if (there === null) {
    await defineDomain(libvirt, wanted)
    if (vm.autostart) await setAutostart(libvirt, vm.domain_uuid, true)
    return
  }
  if (textOf(at(parseXml(there), 'name')) !== vm.name) await renameDomain(libvirt, vm.domain_uuid, vm.name)
  // libvirt has accepted what is there already, though perhaps not by its own schema.
  await defineDomain(libvirt, mergeDomain(there, wanted), { validate: false })
}

/** Leaves the domain as it is, without our mark. */
export async function letGo({ node, domain_uuid }: Guest): Promise<void> {
  const { libvirt } = await reach(node)
  const there = await unlessMissing(() => inactiveXml(libvirt, domain_uuid), null)
  if (there !== null) await defineDomain(libvirt, unmarked(there), { validate: false })
}

/** Makes a guest that is off unknown to its node, with its serial log; one that is gone is fine. */
export async function undefine({ id, node, domain_uuid }: Guest): Promise<void> {
  const reached = await reach(node)
  await unlessMissing(() => undefineDomain(reached.libvirt, domain_uuid), undefined)
  await Promise.all([serialLogOf(reached, id), serialSocketOf(reached, id)].map((path) => reached.host.remove(path)))
}
