import type { Vm } from '#shared/contracts/vm/vms.ts'
import { fill } from '#shared/db/fill.ts'
import { now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import type { Run } from '#shared/nodes/simulated/activity.ts'
import type { World } from '#shared/nodes/simulated/world.ts'
import { type DiskRecord, type VmRecord, vmRecords } from '../../model.ts'
import { drivers } from '../drivers.ts'
import { defined } from './guests.ts'

export type SeedVm = Pick<Vm, 'id' | 'name' | 'description' | 'hypervisor' | 'node' | 'memory' | 'cpus' | 'tags'> & {
  run: Run
  mac: string
  bridge: string
  disks: Pick<DiskRecord, 'id' | 'pool' | 'volume' | 'source' | 'format' | 'cache' | 'size_bytes'>[]
  created_at: string
}

function recordOf({ run, mac, bridge, disks, ...given }: SeedVm): Omit<VmRecord, 'version'> {
  return {
    ...given,
    handle: drivers[given.hypervisor].naming.handleOf(given.id),
    architecture: 'x86_64',
    accel: 'kvm',
    firmware: 'uefi',
    balloon: null,
    max_cpus: null,
    cpu_model: null,
    topology: null,
    boot_order: null,
    graphics: [],
    video: 'none',
    autostart: run.status === 'running',
    disks: disks.map((disk) => ({
      ...disk,
      device_id: idFrom(`disk ${given.id} ${disk.id}`),
      bus: 'virtio',
      readonly: false,
    })),
    nics: [{ mac, device_id: idFrom(`nic ${mac}`), network: null, bridge, model: 'virtio' }],
    iso: null,
    seed: null,
    boot: null,
    status: run.status,
    status_reason: null,
    desired_state: run.status === 'stopped' ? 'stopped' : 'running',
    pending_restart: false,
    pending: [],
    boot_id: null,
    protected: given.tags.includes('prod') && given.tags.includes('db'),
    template: false,
    updated_at: now(),
    defined: true,
  }
}

/** The VMs of a simulation and their guests, before any service runs. */
export async function seedVms(world: World, vms: readonly SeedVm[]): Promise<void> {
  const records = vms.map(recordOf)
  world.guests.addAll(records.map((record, index) => ({ ...defined(record, null), ...vms[index]!.run })))
  await fill<VmRecord>(vmRecords, records)
}
