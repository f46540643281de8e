import type { HostConnection } from '#shared/libvirt/host-connection.ts'
import { destroyDomain, domainState, startDomain, undefineDomain } from '#shared/libvirt/domain.ts'
import { reach } from '#shared/nodes.ts'
import { serialLogOf, unlessMissing } from './define.ts'
import type { VmRecord } from './model.ts'
import { isOff } from './status.ts'

type Guest = Pick<VmRecord, 'node' | 'domain_uuid'>

/** Does something to the domain of a guest; one that its host does not know is fine. */
export async function onDomain(
  { node, domain_uuid }: Guest,
  act: (libvirt: HostConnection, uuid: string) => Promise<unknown>,
): Promise<void> {
  const { libvirt } = await reach(node)
  await unlessMissing(() => act(libvirt, domain_uuid), undefined)
}

/** Starts a guest; one that runs is fine. @throws NotFoundError when its host does not know it */
export async function switchOn({ node, domain_uuid }: Guest): Promise<void> {
  const { libvirt } = await reach(node)
  if (isOff((await domainState(libvirt, domain_uuid)).state)) await startDomain(libvirt, domain_uuid)
}

/** Switches a guest off at once; one that is off is fine. */
export const switchOff = (guest: Guest) =>
  onDomain(guest, async (libvirt, uuid) => {
    if (!isOff((await domainState(libvirt, uuid)).state)) await destroyDomain(libvirt, uuid)
  })

/** Makes a guest unknown to its node, switched off first, with its serial log; one that is gone is fine. */
export async function undefine(guest: Guest & Pick<VmRecord, 'id'>): Promise<void> {
  await switchOff(guest)
  await onDomain(guest, (libvirt, uuid) => undefineDomain(libvirt, uuid))
  const reached = await reach(guest.node)
  await reached.host.remove(serialLogOf(reached, guest.id))
}
