import type { DiskRecord, VmRecord } from '../model.ts'

/** A guest, as its host finds it. `handle` is the driver's own name of it, opaque to all other code. */
export type Guest = Pick<VmRecord, 'id' | 'name' | 'node' | 'handle'>

/** The hardware of a guest that a node must be able to give. */
export type Described = Pick<
  VmRecord,
  | 'name'
  | 'boot'
  | 'architecture'
  | 'firmware'
  | 'balloon'
  | 'cpu_model'
  | 'cpus'
  | 'max_cpus'
  | 'topology'
  | 'boot_order'
  | 'graphics'
  | 'video'
  | 'nics'
> & { disks: Omit<DiskRecord, 'source'>[] }

/** All that a host's definition of a guest is made of. */
export type Definition = Guest &
  Omit<Described, 'disks'> &
  Pick<VmRecord, 'disks' | 'memory' | 'autostart' | 'iso' | 'seed' | 'accel'>
