import type { Definition } from '../../../services/vm/drivers/guest.ts'
import type { VmRecord } from '../../../services/vm/model.ts'

/** A guest's description with the required fields only. */
export const plainGuest: Definition = {
  node: 'local',
  id: 'web',
  name: 'web',
  handle: '0198d1c5-7b1e-7000-8000-000000000001',
  architecture: 'x86_64',
  accel: 'tcg',
  firmware: 'bios',
  memory: 512,
  balloon: null,
  cpus: 2,
  max_cpus: null,
  cpu_model: 'maximum',
  topology: null,
  boot_order: null,
  graphics: ['vnc'],
  video: 'virtio',
  autostart: false,
  disks: [],
  nics: [],
  iso: null,
  seed: null,
  boot: null,
}

const at = '2026-01-01T00:00:00.000Z'

/** The record of such a guest. */
export const plainRecord: Omit<VmRecord, 'version'> = {
  ...plainGuest,
  hypervisor: 'qemu',
  description: '',
  status: 'stopped',
  status_reason: null,
  desired_state: 'stopped',
  pending_restart: false,
  pending: [],
  boot_id: null,
  protected: false,
  template: false,
  tags: [],
  created_at: at,
  updated_at: at,
  defined: true,
}
