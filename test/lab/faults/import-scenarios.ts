import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appliances } from '#shared/contracts/storage/appliances.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { foreignDomain } from '../guests/foreign-domain.ts'
import { virtualBoxOvf } from '../storage/appliances.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { type ProxmoxApi, startProxmoxApi } from '../proxmox/api.ts'
import { asProxmoxHost } from '../proxmox/host.ts'
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

let proxmox: Promise<ProxmoxApi> | undefined

/** Has a host be one of Proxmox VE too, with a stopped guest. @returns the way to it */
async function withProxmox(host: LabHost): Promise<object> {
  const { images } = await asProxmoxHost(host)
  await writeFile(join(images, '100/vm-100-disk-0.raw'), Buffer.alloc(4 * 2 ** 20, 7))
  proxmox ??= startProxmoxApi(host.name)
  const { port, fingerprint, tokenId, tokenSecret, vms } = await proxmox
  const config = { name: 'it', memory: 128, scsi0: 'local:100/vm-100-disk-0.raw,size=4M' }
  vms.set(100, { config, status: 'stopped' })
  return { port, fingerprint, token_id: tokenId, token_secret: tokenSecret }
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
  // The port is known once the stand-in listens.
  const ofProxmox = {
    address: '127.0.0.1',
    vmid: 100,
    source_node: 'hv1',
    pool: 'images',
    id: 'it',
    resource_pool: team.id,
  }
  const proxmoxAndTeam = async (horcrux: Calling) => {
    await horcrux.call(resourcePools, 'create', team)
    Object.assign(ofProxmox, await withProxmox(host))
  }
  return {
    'proxmox-imports.run': { before: proxmoxAndTeam, params: ofProxmox },
    'vms.adopt': { before: foreign, params: { id: 'it', node: 'hv1', domain: foreignUuid, resource_pool: team.id } },
    'appliances.check': { before: withOvf, params: { ...ofOvf, disks: [{ file: 'a.raw', size_bytes: GiB }] } },
    'vm-imports.run': { before: ovfAndTeam, params: { ...ofOvf, id: 'it', name: 'it', resource_pool: team.id } },
    'vm-adoptions.run': {
      before: foreign,
      params: { id: 'hv1', domains: [{ domain: foreignUuid, id: 'it' }], resource_pool: team.id },
    },
  }
}
