import { Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Id, Iso, strict } from '#shared/contracts/common.ts'
import {
  deviceIdForm,
  diskPlace,
  ExistingDisk,
  ImagePath,
  macForm,
  NewDisk,
  NewNic,
} from '#shared/contracts/vm/hardware.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'
import { DiskSize, GivenFormat } from '#shared/contracts/storage/volumes.ts'

const NamedDisk = Type.String({
  examples: ['vda'],
  pattern: `^(?:${diskPlace}|${deviceIdForm})$`,
  description: 'Its `device_id`, or its place, such as vda',
  errorMessage: 'must be the device_id of a disk, or its place, such as vda',
})
const NamedNic = Type.String({
  examples: ['52:54:00:12:34:56'],
  pattern: `^(?:${macForm}|${deviceIdForm})$`,
  description: 'Its `device_id`, or its MAC address in lower case',
  errorMessage: 'must be the device_id of a NIC, or its MAC address in lower case',
})
const LetGoSeconds = Type.Integer({
  minimum: 1,
  maximum: 300,
  default: 20,
  'x-unit': 'seconds',
  description: 'Seconds that a guest that runs has to let go of it',
})

const change = { can: 'VmConfig on /api/vms/{id}', audit: 'vm_config_changed', result: Vm } as const

/** Devices of a virtual machine, changed in its definition and, where it runs, in the guest at once. */
export const devices = contract('devices', {
  attachDisk: {
    ...change,
    does: 'Attach a disk: a new one of a `size`, a copy of an `image`, or a `volume` that is there; a guest that cannot take it now has it at its next start',
    rest: 'POST /vms/{id}/disks',
    operation: true,
    params: strict({
      id: Id,
      pool: Id,
      size: Type.Optional(DiskSize),
      image: Type.Optional(ImagePath),
      volume: Type.Optional(ExistingDisk.properties.volume),
      format: GivenFormat,
      bus: NewDisk.properties.bus,
      cache: NewDisk.properties.cache,
      readonly: Type.Optional(Type.Boolean({ description: 'Of a volume that is there' })),
    }),
  },
  detachDisk: {
    ...change,
    does: 'Detach a disk, and delete its volume when `purge` is set; a guest that does not let go of it keeps it',
    rest: 'DELETE /vms/{id}/disks/{disk}',
    operation: true,
    params: strict({ id: Id, disk: NamedDisk, purge: Type.Boolean({ default: false }), timeout: LetGoSeconds }),
  },
  resizeDisk: {
    ...change,
    does: 'Grow a disk, also while the guest runs',
    rest: 'POST /vms/{id}/disks/{disk}/resize',
    operation: true,
    params: strict({ id: Id, disk: NamedDisk, size: DiskSize }),
  },
  moveDisk: {
    ...change,
    does: 'Move a disk to another storage pool or format, also while the guest runs; the former volume is deleted when both were compared',
    rest: 'POST /vms/{id}/disks/{disk}/move',
    operation: true,
    params: strict({
      id: Id,
      disk: NamedDisk,
      pool: Id,
      format: GivenFormat,
      bytes_per_second: Type.Optional(
        Type.Integer({ minimum: 65_536, description: 'The fastest that bytes are copied; no limit if not given' }),
      ),
      max_pause_seconds: Type.Integer({
        minimum: 1,
        maximum: 3600,
        default: 30,
        'x-unit': 'seconds',
        description:
          'Seconds for which a guest that runs may be paused while both volumes are compared; when they are over it runs on, on the former volume',
      }),
    }),
  },
  attachNic: {
    ...change,
    does: 'Attach a NIC; a guest that cannot take it now has it at its next start',
    rest: 'POST /vms/{id}/nics',
    operation: true,
    params: strict({ id: Id, ...NewNic.properties }),
  },
  detachNic: {
    ...change,
    does: 'Detach a NIC; a guest that does not let go of it keeps it',
    rest: 'DELETE /vms/{id}/nics/{nic}',
    operation: true,
    params: strict({ id: Id, nic: NamedNic, timeout: LetGoSeconds }),
  },
  insert: {
    ...change,
    does: 'Put an ISO into the CD drive',
    rest: 'PUT /vms/{id}/cdrom',
    params: strict({ id: Id, path: Iso }),
  },
  eject: { ...change, does: 'Take the ISO out of the CD drive', rest: 'DELETE /vms/{id}/cdrom', params: ById },
})
