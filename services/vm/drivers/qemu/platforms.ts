import type { Architecture, Firmware } from '#shared/contracts/vm/hardware.ts'

/** What a guest of an architecture is made with. */
type Platform = {
  /** libvirt's machine type. */
  machine: string
  /** Debian's package of its QEMU. */
  debian: string
  /** Each firmware that it has; null: QEMU itself brings it, else Debian's package of it. */
  firmware: Partial<Record<Firmware, string | null>>
  /** The firmware of a guest that asks for none. */
  usual: Firmware
  /** `<features>` of its domains. */
  features: Record<string, string>
  /** What `<serial>` is made of: a type and model of target, where libvirt's own choice would not do. */
  serial: Record<string, string>
  /** The bus of its CD drive. */
  cdrom: 'sata' | 'scsi'
  buses: readonly string[]
  /** PCIe ports that stay free for what is plugged in while a guest runs: each takes one device. */
  ports: number
}

const pc = { acpi: '', apic: '' }

/** One row for each architecture. */
export const platforms: Record<Architecture, Platform> = {
  x86_64: {
    machine: 'q35',
    debian: 'qemu-system-x86',
    firmware: { bios: null, uefi: 'ovmf' },
    usual: 'bios',
    features: pc,
    serial: {},
    cdrom: 'sata',
    buses: ['virtio', 'scsi', 'sata'],
    ports: 8,
  },
  aarch64: {
    machine: 'virt',
    debian: 'qemu-system-arm',
    firmware: { uefi: 'qemu-efi-aarch64' },
    usual: 'uefi',
    features: { acpi: '' },
    serial: { '@type': 'system-serial' },
    cdrom: 'scsi',
    buses: ['virtio', 'scsi'],
    ports: 8,
  },
  riscv64: {
    machine: 'virt',
    debian: 'qemu-system-misc',
    firmware: { bios: null, uefi: 'qemu-efi-riscv64' },
    usual: 'bios',
    features: {},
    serial: { '@type': 'system-serial' },
    cdrom: 'scsi',
    buses: ['virtio', 'scsi'],
    ports: 0,
  },
  ppc64le: {
    machine: 'pseries',
    debian: 'qemu-system-ppc',
    firmware: { bios: null },
    usual: 'bios',
    features: {},
    serial: { '@type': 'spapr-vio-serial' },
    cdrom: 'scsi',
    buses: ['virtio', 'scsi'],
    ports: 0,
  },
}
