import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { foreignDomain } from '../guests/foreign-domain.ts'
import type { LabHost } from '../hosts/hosts.ts'
import type { Calling, Scenario } from './scenario.ts'

const GiB = 2 ** 30
const foreignUuid = '0198d1c5-7b1e-7000-8000-0000000000ad'

/** A guest with a disk in the pool's folder, of which Horcrux knows nothing. */
async function byHand({ uri, dir }: LabHost): Promise<void> {
  const disk = join(dir, 'pool/foreign.qcow2')
  await localHost().runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', disk, String(GiB)])
  const file = join(dir, 'foreign.xml')
  await writeFile(file, foreignDomain('foreign', foreignUuid, ['/var/lib/libvirt/images/pool/foreign.qcow2']))
  await localHost().runChecked('virsh', ['-q', '-c', uri, 'define', file])
}

/** Guests and VMs that come from elsewhere. */
export function importScenarios(host: LabHost): Record<string, Scenario> {
  const team = { id: 'team', name: 'team', limits: { instances: 1 } }
  const foreign = async (horcrux: Calling) => {
    await horcrux.call(resourcePools, 'create', team)
    await byHand(host)
  }
  return {
    'vms.adopt': { before: foreign, params: { id: 'it', node: 'hv1', domain: foreignUuid, resource_pool: team.id } },
    'vm-adoptions.run': {
      before: foreign,
      params: { id: 'hv1', domains: [{ domain: foreignUuid, id: 'it' }], resource_pool: team.id },
    },
  }
}
