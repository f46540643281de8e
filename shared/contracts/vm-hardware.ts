import { type Static, Type } from 'typebox'
import { Id, oneOf, Path, strict } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/pools.ts'
import { DiskSize, VolumeName } from '#shared/contracts/volumes.ts'

export const Architecture = Type.Enum(['x86_64'], { default: 'x86_64' })
export const Memory = Type.Integer({ minimum: 128, maximum: 1_048_576, multipleOf: 128, description: 'MiB' })
export const Cpus = Type.Integer({ minimum: 1, maximum: 256 })
export const Firmware = Type.Enum(['bios', 'uefi'], { default: 'bios' })
const Bus = Type.Enum(['virtio', 'scsi', 'sata'], { default: 'virtio' })
const Cache = Type.Enum(['none', 'writeback', 'writethrough', 'directsync', 'unsafe'], { default: 'writeback' })
const Mac = Type.String({
  pattern: '^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$',
  errorMessage: 'must be a unicast MAC address in lower case, such as 52:54:00:12:34:56',
})
const Model = Type.Enum(['virtio', 'e1000e', 'rtl8139'], { default: 'virtio' })
const NetworkName = Type.String({
  pattern: '^[A-Za-z0-9_.-]{1,64}$',
  errorMessage: 'must be the name of a libvirt network',
})
const BridgeName = Type.String({
  pattern: '^[A-Za-z0-9_.-]{1,15}$',
  errorMessage: 'must be the name of a network interface',
})

export const Disk = strict({
  id: Type.String({ description: 'Its place: vda, vdb … (virtio), sda … (scsi, sata)' }),
  pool: Id,
  volume: VolumeName,
  path: Path,
  format: VolumeFormat,
  size_bytes: Type.Integer(),
  bus: oneOf('virtio', 'scsi', 'sata'),
  cache: Type.Enum(['none', 'writeback', 'writethrough', 'directsync', 'unsafe']),
  readonly: Type.Boolean(),
})
export type Disk = Static<typeof Disk>

export const Nic = strict({
  mac: Mac,
  network: Type.Union([NetworkName, Type.Null()]),
  bridge: Type.Union([BridgeName, Type.Null()]),
  model: oneOf('virtio', 'e1000e', 'rtl8139'),
})
export type Nic = Static<typeof Nic>

/** Displays that a guest has, each on a Unix socket of its node; none of them: only a serial console. */
export const Graphics = Type.Array(oneOf('vnc', 'spice'), { maxItems: 2, uniqueItems: true })
/** `virtio` also does what a plain VGA does until the guest has a driver for it. */
export const Video = oneOf('virtio', 'qxl', 'vga', 'none')

export const Boot = strict({
  kernel: Path,
  initrd: Type.Optional(Path),
  cmdline: Type.Optional(Type.String({ maxLength: 2048, pattern: '^[^\\0\\n]*$' })),
})

const NewDisk = strict({
  pool: Id,
  size: DiskSize,
  format: Type.Enum(['qcow2', 'raw'], { default: 'qcow2' }),
  bus: Bus,
  cache: Cache,
})
const ExistingDisk = strict({
  pool: Id,
  volume: VolumeName,
  bus: Bus,
  cache: Cache,
  readonly: Type.Boolean({ default: false }),
})
const NewNic = strict({
  network: Type.Optional(NetworkName),
  bridge: Type.Optional(BridgeName),
  mac: Type.Optional(Mac),
  model: Model,
})

export const Disks = Type.Array(Type.Union([NewDisk, ExistingDisk]), { maxItems: 26, default: [] })
export type NewDisks = Static<typeof Disks>
export const Nics = Type.Array(NewNic, { maxItems: 16, default: [] })
export type NewNics = Static<typeof Nics>
