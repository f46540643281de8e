import type { Definition } from '../../services/vm/drivers/driver.ts'

/** A guest's description with only what it must have. */
export const plainGuest: Definition = {
  node: 'local',
  id: 'web',
  name: 'web',
  domain_uuid: '0198d1c5-7b1e-7000-8000-000000000001',
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
  autostart: false,
  disks: [],
  nics: [],
  iso: null,
  boot: null,
}
