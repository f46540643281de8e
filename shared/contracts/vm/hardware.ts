import { type Static, Type } from 'typebox'
import { Id, oneOf, Path, strict } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { DiskPath, DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { DiskSize, GivenFormat, VolumeName } from '#shared/contracts/storage/volumes.ts'

const Architecture = oneOf('x86_64', 'aarch64', 'riscv64', 'ppc64le')
export type Architecture = Static<typeof Architecture>
export const Memory = Type.Integer({
  minimum: 128,
  maximum: 1_048_576,
  multipleOf: 128,
  'x-unit': 'MiB',
  description: 'MiB',
})
export const Cpus = Type.Integer({ minimum: 1, maximum: 256 })
const Firmware = oneOf('bios', 'uefi')
export type Firmware = Static<typeof Firmware>

const CpuModel = Type.String({
  examples: ['host-model'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
  description: "`host-model`, `host-passthrough`, `maximum`, or a model of the node's list; null: what QEMU takes",
  errorMessage: 'must be host-model, host-passthrough, maximum or the name of a model',
})
const Count = Type.Integer({ minimum: 1, maximum: 256 })
const Topology = strict({ sockets: Count, cores: Count, threads: Count })
/** The place of a disk: after vdz comes vdaa. */
export const diskPlace = '(?:vd|sd|hd|xvd|ubd)[a-z]{1,3}'
const BootOrder = Type.Array(
  Type.String({
    examples: ['vda'],
    pattern: `^(${diskPlace}|cdrom|network|[0-9a-f]{2}(:[0-9a-f]{2}){5})$`,
    errorMessage: 'must be a disk such as vda, cdrom, network (every NIC in turn) or the MAC address of a NIC',
  }),
  { minItems: 1, maxItems: 32, uniqueItems: true },
)

/** Displays that a guest has, each on a Unix socket of its node; none of them: only a serial console. */
const Graphics = Type.Array(oneOf('vnc', 'spice'), { maxItems: 2, uniqueItems: true })
/** `virtio` also does what a plain VGA does until the guest has a driver for it. */
const Video = oneOf('virtio', 'qxl', 'vga', 'none')

/** Hardware of a guest beside its disks and NICs, as in its record. */
export const Hardware = {
  architecture: Architecture,
  memory: Type.Integer({ minimum: 1, 'x-unit': 'MiB', description: 'MiB, the most that it can have' }),
  balloon: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
    'x-unit': 'MiB',
    description: 'MiB of its memory that it is to have now; null: all',
  }),
  cpus: Cpus,
  max_cpus: Type.Union([Cpus, Type.Null()], {
    description: 'Up to so many can be added while it runs; null: none beyond cpus',
  }),
  cpu_model: Type.Union([CpuModel, Type.Null()]),
  topology: Type.Union([Topology, Type.Null()], { description: 'Its product is max_cpus, or cpus where that is null' }),
  boot_order: Type.Union([BootOrder, Type.Null()], { description: 'null: the ISO, if there is one, then the disks' }),
  firmware: Firmware,
  graphics: Graphics,
  video: Type.String({ description: 'virtio, qxl, vga, none; an adopted guest may have another' }),
  autostart: Type.Boolean({ description: 'Its node starts it when it boots' }),
}

/** Hardware of a new guest. A field that is left out gets a value that suits its architecture and node. */
export const NewHardware = {
  architecture: Type.Enum(['x86_64', 'aarch64', 'riscv64', 'ppc64le'], { default: 'x86_64' }),
  memory: Memory,
  balloon: Type.Optional(Memory),
  cpus: Cpus,
  max_cpus: Type.Optional(Cpus),
  cpu_model: Type.Optional(CpuModel),
  topology: Type.Optional(Topology),
  boot_order: Type.Optional(BootOrder),
  firmware: Type.Optional(Firmware),
  graphics: Type.Optional(
    Type.Array(Graphics.items, {
      maxItems: 2,
      uniqueItems: true,
      description: 'vnc unless given; none with LXD and Incus',
    }),
  ),
  video: Type.Optional(Type.Enum([...Video.enum], { description: 'virtio unless given; none with LXD and Incus' })),
  autostart: Type.Boolean({ default: false }),
}

/** Hardware that can be changed; null has the meaning that it has in the record. */
export const ChangedHardware = {
  memory: Type.Optional(Memory),
  balloon: Type.Optional(Type.Union([Memory, Type.Null()])),
  cpus: Type.Optional(Cpus),
  max_cpus: Type.Optional(Type.Union([Cpus, Type.Null()])),
  cpu_model: Type.Optional(Type.Union([CpuModel, Type.Null()])),
  topology: Type.Optional(Type.Union([Topology, Type.Null()])),
  boot_order: Type.Optional(Type.Union([BootOrder, Type.Null()])),
  firmware: Type.Optional(Firmware),
  graphics: Type.Optional(Graphics),
  video: Type.Optional(Video),
  autostart: Type.Optional(Type.Boolean()),
}

/** A change that a running guest could not take, and takes at its next start. */
export const Pending = strict({
  field: Type.String(),
  current: Type.Unknown({ description: 'What the running guest has' }),
  next: Type.Unknown({ description: 'What it has after its next start' }),
})
export type Pending = Static<typeof Pending>

const Bus = Type.Enum(['virtio', 'scsi', 'sata'], { default: 'virtio' })
const Cache = Type.Enum(['none', 'writeback', 'writethrough', 'directsync', 'unsafe'], { default: 'writeback' })
/** The form of the addresses of NICs. */
export const macForm = '[0-9a-f][02468ace](:[0-9a-f]{2}){5}'
const Mac = Type.String({
  examples: ['52:54:00:12:34:56'],
  pattern: `^${macForm}$`,
  errorMessage: 'must be a unicast MAC address in lower case, such as 52:54:00:12:34:56',
})
const Model = Type.Enum(['virtio', 'e1000e', 'rtl8139'], { default: 'virtio' })
const NetworkName = Type.String({
  examples: ['default'],
  pattern: '^[A-Za-z0-9_.-]{1,64}$',
  errorMessage: 'must be the name of a libvirt network',
})
const BridgeName = Type.String({
  examples: ['br0'],
  pattern: '^[A-Za-z0-9_.-]{1,15}$',
  errorMessage: 'must be the name of a network interface',
})

const DeviceId = Type.String({
  description: 'No other device ever has it, while its place, or its address, may be given to another one later',
})
/** The form of the ids of devices. */
export const deviceIdForm = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'

export const Disk = strict({
  id: Type.String({ description: 'Its place: vda, vdb … (virtio), sda … (scsi, sata)' }),
  device_id: DeviceId,
  pool: Type.Union([Id, Type.Null()], { description: 'Storage pool; null: in none' }),
  volume: Type.Union([VolumeName, Type.Null()]),
  source: DiskSource,
  path: DiskPath,
  format: VolumeFormat,
  size_bytes: Type.Integer({ description: '0: unknown, of a network image in no storage pool' }),
  bus: oneOf('virtio', 'scsi', 'sata', 'ide', 'usb'),
  cache: Type.Enum(['none', 'writeback', 'writethrough', 'directsync', 'unsafe', 'default']),
  readonly: Type.Boolean(),
})
export type Disk = Static<typeof Disk>

export const ForeignDisk = strict({
  id: Type.String({ description: 'Its place, such as vdb' }),
  device: Type.String({ description: 'disk, lun, cdrom or floppy' }),
  type: Type.String({ description: "libvirt's type of its source, such as file, volume or network" }),
  source: Type.String({ description: 'Path or name of its source' }),
})

export const Nic = strict({
  mac: Mac,
  device_id: DeviceId,
  network: Type.Union([NetworkName, Type.Null()]),
  bridge: Type.Union([BridgeName, Type.Null()]),
  model: Type.String({ description: 'virtio, e1000e, rtl8139, or another of an adopted machine' }),
})
export type Nic = Static<typeof Nic>

export const Boot = strict({
  kernel: Type.String({ ...Path, examples: ['/boot/vmlinuz'] }),
  initrd: Type.Optional(Type.String({ ...Path, examples: ['/boot/initrd.img'] })),
  cmdline: Type.Optional(
    Type.String({
      maxLength: 2048,
      // Of these XML has no control characters, and line ends come back as others.
      pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\ud800-\\udfff\\ufffe\\uffff]*$',
      errorMessage: 'must be one line of text without control characters',
    }),
  ),
})

export const NewDisk = strict({
  pool: Id,
  size: DiskSize,
  format: GivenFormat,
  bus: Bus,
  cache: Cache,
})
export const ImagePath = Type.String({
  ...Path,
  examples: ['/srv/images/debian-13.qcow2'],
  description:
    'Image on the node that the disk gets a copy of: raw, qcow2, vdi or vhdx, with no backing file, in an allowed folder',
})
const ImageDisk = strict({
  pool: Id,
  image: ImagePath,
  size: Type.Optional(
    Type.Integer({
      ...DiskSize,
      'x-unit': 'bytes',
      description: 'Bytes, at least those of the image; as large as the image if not given',
    }),
  ),
  format: NewDisk.properties.format,
  bus: Bus,
  cache: Cache,
})
export const ExistingDisk = strict({
  pool: Id,
  volume: VolumeName,
  bus: Bus,
  cache: Cache,
  readonly: Type.Boolean({ default: false }),
})
export const NewNic = strict({
  network: Type.Optional(NetworkName),
  bridge: Type.Optional(BridgeName),
  mac: Type.Optional(Mac),
  model: Model,
})

export const Disks = Type.Array(Type.Union([NewDisk, ImageDisk, ExistingDisk]), { maxItems: 26, default: [] })
export type NewDisks = Static<typeof Disks>
export const Nics = Type.Array(NewNic, { maxItems: 16, default: [] })
export type NewNics = Static<typeof Nics>
