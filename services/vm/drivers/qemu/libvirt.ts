import type { HostConnection } from '#shared/nodes/libvirt/connection/host-connection.ts'
import { libvirtOf } from '#shared/nodes/libvirt/engine.ts'
import { reach } from '#shared/nodes/nodes.ts'
import type { Guest } from '../guest.ts'

/** The connection to the libvirt of a guest's node. */
export const libvirtAt = async (node: Guest['node']): Promise<HostConnection> => libvirtOf(await reach(node))
