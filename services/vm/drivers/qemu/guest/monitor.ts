import { ConflictError } from '#shared/errors.ts'
import { monitorCommand } from '#shared/nodes/libvirt/client/domain.ts'
import type { Guest } from '../../guest.ts'
import { libvirtAt } from '../libvirt.ts'

/** Sends a command of QMP to a guest's monitor. @throws ConflictError in QEMU's words */
export async function query({ node, handle: uuid }: Guest, execute: string, words?: object): Promise<unknown> {
  const libvirt = await libvirtAt(node)
  const answer = await monitorCommand(libvirt, uuid, { execute, ...(words && { arguments: words }) })
  const error = answer['error'] as { class: string; desc: string } | undefined
  if (error) throw new ConflictError(`QEMU: ${error.desc}`, { details: { class: error.class } })
  return answer['return'] ?? null
}
