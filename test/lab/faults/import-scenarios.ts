import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appliances } from '#shared/contracts/storage/appliances.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { foreignDomain } from '../guests/foreign-domain.ts'
import { virtualBoxOvf } from '../storage/appliances.ts'
import type { LabHost } from '../hosts/hosts.ts'
import type { Calling, Scenario } from './scenario.ts'
import { sendFile } from './upload.ts'

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

const [descriptor, disk] = ['0198d1c5-7b1e-7000-8000-0000000000b0', '0198d1c5-7b1e-7000-8000-0000000000b1']
const ofOvf = { pool: 'images', upload: descriptor, files: [{ name: 'a.raw', upload: disk }] }

/** A descriptor without NICs and a raw disk of 4 MiB beside it. */
async function withOvf(horcrux: Calling): Promise<void> {
  const bytes = Buffer.alloc(4 * 2 ** 20, 7)
  const text = virtualBoxOvf({ file: 'a.raw', bytes: bytes.length, capacity: GiB }, { hasNic: false })
  // A check by itself leaves them closed, for the import that follows it.
  await horcrux.call(appliances, 'release', ofOvf)
  await sendFile(horcrux, descriptor, 'a-ovf', Buffer.from(text))
  await sendFile(horcrux, disk, 'a-raw', bytes)
}

/** Guests and VMs that come from elsewhere. */
export function importScenarios(host: LabHost): Record<string, Scenario> {
  const team = { id: 'team', name: 'team', limits: { instances: 1 } }
  const foreign = async (horcrux: Calling) => {
    await horcrux.call(resourcePools, 'create', team)
    await byHand(host)
  }
  const ovfAndTeam = async (horcrux: Calling) => {
    await horcrux.call(resourcePools, 'create', team)
    await withOvf(horcrux)
  }
  return {
    'vms.adopt': { before: foreign, params: { id: 'it', node: 'hv1', domain: foreignUuid, resource_pool: team.id } },
    'appliances.check': { before: withOvf, params: { ...ofOvf, disks: [{ file: 'a.raw', size_bytes: GiB }] } },
    'vm-imports.run': { before: ovfAndTeam, params: { ...ofOvf, id: 'it', name: 'it', resource_pool: team.id } },
    'vm-adoptions.run': {
      before: foreign,
      params: { id: 'hv1', domains: [{ domain: foreignUuid, id: 'it' }], resource_pool: team.id },
    },
  }
}
