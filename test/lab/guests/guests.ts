import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { startHorcrux } from '../product/horcrux.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { asNode } from '../faults/scenarios.ts'
import { done } from '../product/run-operation.ts'

/** Horcrux with one lab host as node `hv1` and the pool `images` on it, and virsh at the same host. */
export async function startGuests(host: LabHost) {
  const horcrux = await startHorcrux({ services: [clusterService, storageService, vmService] })
  try {
    await done(horcrux, nodes, 'register', asNode('hv1', host))
    await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: poolPath })
  } catch (error) {
    await horcrux.stop()
    throw error
  }
  const virsh = async (...words: string[]) =>
    (await localHost().runChecked('virsh', ['-q', '-c', host.uri, ...words])).stdout.trim()
  /** Has libvirt know a domain, as `virsh define` does. */
  const defineByHand = async (name: string, xml: string) => {
    const file = join(host.dir, `${name}.xml`)
    await writeFile(file, xml)
    await virsh('define', file)
  }
  return { horcrux, virsh, defineByHand }
}

/** The pool's folder as the host sees it. */
export const poolPath = '/var/lib/libvirt/images/pool'
