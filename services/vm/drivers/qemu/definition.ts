import { dirname } from 'node:path'
import {
  defineDomain,
  domainState,
  domainXml as xmlOf,
  renameDomain,
  setAutostart,
  undefineDomain,
  undefineKeeping,
} from '#shared/nodes/libvirt/client/domain.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { operationAtWork } from '#shared/runtime/request-context.ts'
import { makeFile } from '#shared/nodes/host/made-files.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Definition, Guest } from '../guest.ts'
import { libvirtAt } from './libvirt.ts'
import { domainXml } from './xml/domain-xml.ts'
import { filesOf, shelfOf, shelvedXml, variablesIn } from './files.ts'
import { hasEmulatedTpm } from './host/host-state.ts'
import { mergeDomain, unmarked } from './xml/merge.ts'
import { isOff, unlessMissing } from './state.ts'
import { markOf } from './xml/parse-domain-xml.ts'
import { at, type Element, parseXml, textOf } from './xml/xml.ts'

/** The definition for the next start, with its secrets: without them they would be lost when it is defined again. */
export const inactiveXml = (libvirt: HostConnection, uuid: string) =>
  xmlOf(libvirt, uuid, { inactive: true, secure: true })

/**
 * Defines the domain of a guest. In a definition that is there, or that was shelved, only the parts that Horcrux owns are
 * changed; the domain is found by its UUID, also under another name.
 */
export async function define(vm: Definition): Promise<void> {
  const reached = await reach(vm.node)
  const { host } = reached
  const libvirt = libvirtOf(reached)
  const files = filesOf(reached, vm.id)
  // virtlogd and QEMU run as other users, who pass through the folders.
  const folders = [files.log, ...(vm.firmware === 'uefi' ? [files.variables] : [])].map((path) => dirname(path))
  const [there] = await Promise.all([
    unlessMissing(() => inactiveXml(libvirt, vm.handle), null),
    ...folders.map((folder) => host.mkdir(folder, { mode: 0o711 })),
  ])
  const before = there ?? (await shelvedXml(reached, vm.id))
  const isOn = async () => !isOff((await domainState(libvirt, vm.handle)).state)
  const name = before === null ? vm.name : await nameFor(parseXml(before), vm, isOn)
  const madeBy = before === null ? operationAtWork() : undefined
  const wanted = domainXml(vm, files, { name, madeBy })
  if (there !== null && textOf(at(parseXml(there), 'name')) !== name) await renameDomain(libvirt, vm.handle, name)
  // libvirt has accepted the definition that is there, though perhaps not by its own schema.
  if (before === null) await defineDomain(libvirt, wanted)
  else await defineDomain(libvirt, mergeDomain(before, wanted), { validate: false })
  await Promise.all([
    // Also where it was not changed: an earlier change may have been interrupted.
    (there !== null || vm.autostart) && setAutostart(libvirt, vm.handle, vm.autostart),
    host.remove(shelfOf(reached, vm.id)),
  ])
}

/**
 * The name for an existing domain. libvirt renames no domain that runs, so one that is adopted while it runs keeps its
 * own, for example with a dot; so does one that was renamed with virsh. A new name of the VM is taken.
 */
export async function nameFor(
  domain: Element,
  vm: Pick<Definition, 'id' | 'name'>,
  isOn: () => Promise<boolean>,
): Promise<string> {
  const own = textOf(at(domain, 'name'))
  const { id, name: recorded } = markOf(domain)
  if (id !== vm.id) return own !== vm.name && (await isOn()) ? own : vm.name
  return (recorded ?? own) === vm.name ? own : vm.name
}

/** Leaves the domain as it is, without our mark. */
export async function letGo({ node, handle: uuid }: Guest): Promise<void> {
  const libvirt = await libvirtAt(node)
  const there = await unlessMissing(() => inactiveXml(libvirt, uuid), null)
  if (there !== null) await defineDomain(libvirt, unmarked(there), { validate: false })
}

/** Removes the definition and the files of a guest that is off; one that is gone is fine. */
export async function undefine({ id, node, handle: uuid }: Guest): Promise<void> {
  const reached = await reach(node)
  const shelved = await shelvedXml(reached, id)
  const domain = shelved === null ? null : parseXml(shelved)
  // Only libvirt can remove the state of its TPM, with its definition.
  if (shelved !== null && domain && hasEmulatedTpm(domain))
    await defineDomain(libvirtOf(reached), shelved, { validate: false })
  await unlessMissing(() => undefineDomain(libvirtOf(reached), uuid), undefined)
  const variables = domain && variablesIn(domain)
  const paths = [...Object.values(filesOf(reached, id)), ...(variables === null ? [] : [variables])]
  await Promise.all(paths.map((path) => reached.host.remove(path)))
  // Last: it has the paths of the others.
  await reached.host.remove(shelfOf(reached, id))
}

/** Removes the definition of a guest that is off, and keeps on the node all that {@link define} needs to bring it back. */
export async function shelve({ id, node, handle: uuid }: Guest): Promise<void> {
  const reached = await reach(node)
  const { host } = reached
  const libvirt = libvirtOf(reached)
  const there = await unlessMissing(() => inactiveXml(libvirt, uuid), null)
  if (there === null) return
  const shelf = shelfOf(reached, id)
  await host.mkdir(dirname(shelf), { mode: 0o700 })
  // It may have passwords: only its owner reads it.
  const write = (aside: string) =>
    host.runChecked('dd', [`of=${aside}`, 'conv=notrunc,fsync', 'status=none'], { secretInput: there })
  await makeFile(host, shelf, write, { isReplacing: true })
  const hasTpm = hasEmulatedTpm(parseXml(there))
  await unlessMissing(() => undefineKeeping(libvirt, uuid, { hasTpm }), undefined)
}
