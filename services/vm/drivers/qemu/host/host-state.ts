import { countCheckpoints, countSnapshots, hasManagedSave } from '#shared/nodes/libvirt/client/domain.ts'
import { versions } from '#shared/nodes/libvirt/client/host-facts.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { HostState } from '../../parts.ts'
import { definitionOf } from '../files.ts'
import { libvirtAt } from '../libvirt.ts'
import { unlessMissing } from '../state.ts'
import { hasRemoteVariables } from '../xml/firmware.ts'
import { at, attribute, type Element, elements } from '../xml/xml.ts'

const savedObstacle = 'its memory is saved (managed save): start it and shut it down, or virsh managedsave-remove'

const tpmsOf = (domain: Element) => elements(at(domain, 'devices'), 'tpm')

/** True when the host keeps the state of a TPM for a domain (swtpm). */
export const hasEmulatedTpm = (domain: Element) =>
  tpmsOf(domain).some((tpm) => attribute(at(tpm, 'backend'), 'type') === 'emulator')

/** The reasons of a definition against a clone of its guest. */
export function cloneObstaclesIn(domain: Element): string[] {
  const found: string[] = []
  if (tpmsOf(domain).length > 0)
    found.push('it has a TPM, and the clone would have none: what is sealed with its keys could not be opened there')
  if (hasRemoteVariables(domain))
    found.push('its UEFI variables are in no file of the node, and the clone would have none of them')
  return found
}

/** True for versions of libvirt that can keep the state of a TPM without its domain: 8.9 and later. */
export function keepsTpms(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 8 || (major === 8 && minor >= 9)
}

const counted = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`

export const hostState: HostState = {
  isSaved: async ({ node, handle: uuid }) => {
    const libvirt = await libvirtAt(node)
    return unlessMissing(() => hasManagedSave(libvirt, uuid), false)
  },

  templateObstacles: async (guest) => {
    const reached = await reach(guest.node)
    const libvirt = libvirtOf(reached)
    const domain = await definitionOf(reached, guest)
    if (!domain) return []
    const [isSaved, snapshots, checkpoints] = await unlessMissing(
      () =>
        Promise.all([
          hasManagedSave(libvirt, guest.handle),
          countSnapshots(libvirt, guest.handle),
          countCheckpoints(libvirt, guest.handle),
        ]),
      [false, 0, 0],
    )
    const found: string[] = []
    if (isSaved) found.push(savedObstacle)
    if (snapshots > 0) found.push(`libvirt has ${counted(snapshots, 'snapshot')} of it: virsh snapshot-delete`)
    if (checkpoints > 0) found.push(`libvirt has ${counted(checkpoints, 'checkpoint')} of it: virsh checkpoint-delete`)
    if (hasEmulatedTpm(domain) && !keepsTpms((await versions(libvirt)).libvirt))
      found.push('it has an emulated TPM, whose state libvirt keeps only from version 8.9 on')
    return found
  },

  cloneObstacles: async (guest) => {
    const reached = await reach(guest.node)
    const domain = await definitionOf(reached, guest)
    if (!domain) return []
    const isSaved = await unlessMissing(() => hasManagedSave(libvirtOf(reached), guest.handle), false)
    return [...(isSaved ? [savedObstacle] : []), ...cloneObstaclesIn(domain)]
  },
}
