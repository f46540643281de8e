import { XMLBuilder } from 'fast-xml-parser'
import type { Disk, Nic } from '#shared/contracts/vm-hardware.ts'
import type { Definition } from '../driver.ts'

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  format: true,
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
})

/** Our own mark in the definition, so that a guest is recognised on its host. */
const namespace = 'urn:horcrux:vm:1'

const diskOf = ({ id, path, format, bus, cache, readonly }: Disk) => ({
  '@type': 'file',
  '@device': 'disk',
  driver: {
    '@name': 'qemu',
    '@type': format,
    '@cache': cache,
    ...(cache === 'none' && { '@io': 'native' }),
    '@discard': 'unmap',
  },
  source: { '@file': path },
  target: { '@dev': id, '@bus': bus },
  ...(readonly && { readonly: '' }),
})

const cdromOf = (path: string | null) => ({
  '@type': 'file',
  '@device': 'cdrom',
  driver: { '@name': 'qemu', '@type': 'raw' },
  ...(path !== null && { source: { '@file': path } }),
  target: { '@dev': 'sdz', '@bus': 'sata' },
  readonly: '',
})

const nicOf = ({ mac, network, bridge, model }: Nic) => ({
  '@type': bridge === null ? 'network' : 'bridge',
  mac: { '@address': mac },
  source: bridge === null ? { '@network': network } : { '@bridge': bridge },
  model: { '@type': model },
})

/**
 * The domain XML of a VM (libvirt's "Domain XML format").
 * @param serial files on the node: one gets what the guest writes to its serial console, one takes what is typed there
 */
export function domainXml(vm: Definition, serial: { log: string; socket: string }): string {
  const boot = vm.boot && {
    kernel: vm.boot.kernel,
    ...(vm.boot.initrd && { initrd: vm.boot.initrd }),
    ...(vm.boot.cmdline && { cmdline: vm.boot.cmdline }),
  }
  const domain = {
    '@type': vm.accel === 'kvm' ? 'kvm' : 'qemu',
    name: vm.name,
    uuid: vm.domain_uuid,
    metadata: { 'horcrux:vm': { '@xmlns:horcrux': namespace, '@id': vm.id } },
    memory: { '@unit': 'MiB', '#text': vm.memory },
    vcpu: vm.cpus,
    os: {
      ...(vm.firmware === 'uefi' && { '@firmware': 'efi' }),
      type: { '@arch': vm.architecture, '@machine': 'q35', '#text': 'hvm' },
      ...boot,
      ...(!boot && { boot: [...(vm.iso === null ? [] : [{ '@dev': 'cdrom' }]), { '@dev': 'hd' }] }),
    },
    features: { acpi: '', apic: '' },
    cpu: { '@mode': vm.accel === 'kvm' ? 'host-model' : 'maximum' },
    clock: { '@offset': 'utc' },
    on_poweroff: 'destroy',
    on_reboot: 'restart',
    on_crash: 'destroy',
    devices: {
      disk: [...vm.disks.map(diskOf), ...(vm.iso === null ? [] : [cdromOf(vm.iso)])],
      interface: vm.nics.map(nicOf),
      ...(vm.disks.some(({ bus }) => bus === 'scsi') && { controller: { '@type': 'scsi', '@model': 'virtio-scsi' } }),
      graphics: vm.graphics.map((type) => ({ '@type': type, listen: { '@type': 'socket' } })),
      video: { model: { '@type': vm.video } },
      // Of two at a pty each would get a part of what the guest writes (docs/adr/0010).
      serial: {
        '@type': 'unix',
        source: { '@mode': 'bind', '@path': serial.socket },
        log: { '@file': serial.log, '@append': 'off' },
        target: { '@port': '0' },
      },
      channel: { '@type': 'unix', target: { '@type': 'virtio', '@name': 'org.qemu.guest_agent.0' } },
      rng: { '@model': 'virtio', backend: { '@model': 'random', '#text': '/dev/urandom' } },
      memballoon: { '@model': 'virtio', stats: { '@period': '10' } },
    },
  }
  return builder.build({ domain }) as string
}
