import type { Architecture, Firmware } from '#shared/contracts/vm/hardware.ts'

/** The machine of guests of an architecture. */
type Platform = {
  /** libvirt's machine type. */
  machine: string
  /** QEMU's program. */
  emulator: string
  /** The file of each firmware that it has; null: QEMU itself brings it. */
  firmware: Partial<Record<Firmware, string | null>>
  /** The firmware of a guest that asks for none. */
  usual: Firmware
  /** `<features>` of its domains. */
  features: Record<string, string>
  /** Attributes of `<target>` in `<serial>`, where libvirt's own choice does not work. */
  serial: Record<string, string>
  /** The bus of its CD drive. */
  cdrom: 'sata' | 'scsi'
  buses: readonly string[]
  /** PCIe ports that stay free for devices that are plugged in while a guest runs, one for each. */
  ports: number
}

const pc = { acpi: '', apic: '' }

/** One row for each architecture. */
export const platforms: Record<Architecture, Platform> = {
  x86_64: {
    machine: 'q35',
    emulator: 'qemu-system-x86_64',
    firmware: { bios: null, uefi: '/usr/share/OVMF/OVMF_CODE.fd' },
    usual: 'bios',
    features: pc,
    serial: {},
    cdrom: 'sata',
    buses: ['virtio', 'scsi', 'sata'],
    ports: 8,
  },
  aarch64: {
    machine: 'virt',
    emulator: 'qemu-system-aarch64',
    firmware: { uefi: '/usr/share/AAVMF/AAVMF_CODE.fd' },
    usual: 'uefi',
    features: { acpi: '' },
    serial: { '@type': 'system-serial' },
    cdrom: 'scsi',
    buses: ['virtio', 'scsi'],
    ports: 8,
  },
  riscv64: {
    machine: 'virt',
    emulator: 'qemu-system-riscv64',
    firmware: { bios: null, uefi: '/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd' },
    usual: 'bios',
    features: {},
    serial: { '@type': 'system-serial' },
    cdrom: 'scsi',
    buses: ['virtio', 'scsi'],
    ports: 0,
  },
  ppc64le: {
    machine: 'pseries',
    emulator: 'qemu-system-ppc64',
    firmware: { bios: null },
    usual: 'bios',
    features: {},
    serial: { '@type': 'spapr-vio-serial' },
    cdrom: 'scsi',
    buses: ['virtio', 'scsi'],
    ports: 0,
  },
}
