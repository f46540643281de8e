import { XMLBuilder } from 'fast-xml-parser'
import type { Disk, Nic } from '#shared/contracts/vm/hardware.ts'
import type { Definition } from '../../guest.ts'
import { platforms } from '../platforms.ts'
import { isoDrive, isoPort, seedDrive } from './parse-domain-xml.ts'

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  format: true,
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
})

/** Our own mark in the definition, so that a guest is recognised on its host. */
const namespace = 'urn:horcrux:vm:1'

type Order = (name: string) => { boot: { '@order': number } } | undefined

/** The places in a guest's own boot order, of what it has; without one, the order of `<os>` counts. */
function orderOf({ boot_order: order, nics, iso }: Definition): Order {
  const rest = nics.map(({ mac }) => mac).filter((mac) => !order?.includes(mac))
  const places = order
    ?.flatMap((name) => (name === 'network' ? rest : [name]))
    .filter((name) => name !== 'cdrom' || iso !== null)
  return (name) => {
    const place = places?.indexOf(name) ?? -1
    return place < 0 ? undefined : { boot: { '@order': place + 1 } }
  }
}

const diskOf = ({ id, path, format, bus, cache, readonly }: Disk, order: Order) => ({
  '@type': path.startsWith('/dev/') ? 'block' : 'file',
  '@device': 'disk',
  driver: {
    '@name': 'qemu',
    '@type': format,
    ...(cache !== 'default' && { '@cache': cache }),
    ...(cache === 'none' && { '@io': 'native' }),
    '@discard': 'unmap',
  },
  source: path.startsWith('/dev/') ? { '@dev': path } : { '@file': path },
  target: { '@dev': id, '@bus': bus },
  ...order(id),
  ...(readonly && { readonly: '' }),
})

/**
 * Where a drive is plugged in. By its name libvirt would give it a place that takes controllers of its own, for SCSI of
 * a kind that few guests know. The disks of a guest never come to these places.
 */
const placeOf = (drive: string, bus: string) => ({
  '@type': 'drive',
  '@controller': '0',
  '@bus': '0',
  '@target': '0',
  '@unit': bus === 'sata' ? String(isoPort) : drive === isoDrive ? '25' : '24',
})

const cdromOf = (drive: string, path: string | null, bus: string, order?: Order) => ({
  '@type': 'file',
  '@device': 'cdrom',
  driver: { '@name': 'qemu', '@type': 'raw' },
  ...(path !== null && { source: { '@file': path } }),
  target: { '@dev': drive, '@bus': bus },
  ...order?.('cdrom'),
  readonly: '',
  address: placeOf(drive, bus),
})

const nicOf = ({ mac, network, bridge, model }: Nic, order: Order) => ({
  '@type': bridge === null ? 'network' : 'bridge',
  mac: { '@address': mac },
  source: bridge === null ? { '@network': network } : { '@bridge': bridge },
  model: { '@type': model },
  ...order(mac),
})

const modes = ['host-model', 'host-passthrough', 'maximum']

const cpuOf = ({ cpu_model: model, topology }: Definition) => ({
  ...(model !== null &&
    (modes.includes(model)
      ? { '@mode': model }
      : { '@mode': 'custom', '@match': 'exact', model: { '@fallback': 'forbid', '#text': model } })),
  ...(topology && {
    topology: { '@sockets': topology.sockets, '@cores': topology.cores, '@threads': topology.threads },
  }),
})

const vcpuOf = ({ cpus, max_cpus: most }: Definition) =>
  most !== null && most > cpus ? { '@current': cpus, '#text': most } : cpus

/** What `<os>` says of the start: a kernel, or the devices in turn unless they say it themselves. */
function bootOf({ boot, boot_order, iso }: Definition) {
  if (boot) {
    const { kernel, initrd, cmdline } = boot
    return { kernel, ...(initrd && { initrd }), ...(cmdline && { cmdline }) }
  }
  return boot_order ? {} : { boot: [...(iso === null ? [] : [{ '@dev': 'cdrom' }]), { '@dev': 'hd' }] }
}

/** Serial channels, entropy, balloon and USB: what takes a PCIe port beside disks, NICs and a SCSI controller. */
const portsTaken = 4

/** So many PCIe ports that some are free for what is plugged in while the guest runs; libvirt makes none to spare. */
function portsOf({ architecture, disks, nics }: Definition) {
  const { ports } = platforms[architecture]
  if (ports === 0) return []
  const own = disks.filter(({ bus }) => bus === 'virtio').length + nics.length + 1
  return Array.from({ length: 1 + ports + portsTaken + own }, (_, index) => ({
    '@type': 'pci',
    '@index': index,
    '@model': index === 0 ? 'pcie-root' : 'pcie-root-port',
  }))
}

/** Files on the node: what the guest writes to its serial console, what takes its input, and its UEFI's variables. */
export type Files = { log: string; socket: string; variables: string }

/** The domain XML of a VM (libvirt's "Domain XML format"). @param files those that belong to this guest alone */
export function domainXml(vm: Definition, files: Files): string {
  const platform = platforms[vm.architecture]
  const order = orderOf(vm)
  const disk = [
    ...vm.disks.map((each) => diskOf(each, order)),
    // Every new guest has a drive for ISO images, so that one can be put in while it runs.
    cdromOf(isoDrive, vm.iso, platform.cdrom, order),
    // Kernels made for clouds, such as Debian's, know no SATA.
    ...(vm.seed === null ? [] : [cdromOf(seedDrive, vm.seed, 'scsi')]),
  ]
  const mark = {
    '@xmlns:horcrux': namespace,
    '@id': vm.id,
    // What of its devices is ours: when one of them is not wanted any more, it is ours to take away.
    '@disks': disk.map(({ target }) => target['@dev']).join(' '),
    '@nics': vm.nics.map(({ mac }) => mac).join(' '),
  }
  const domain = {
    '@type': vm.accel === 'kvm' ? 'kvm' : 'qemu',
    name: vm.name,
    uuid: vm.handle,
    metadata: { 'horcrux:vm': mark },
    memory: { '@unit': 'MiB', '#text': vm.memory },
    ...(vm.balloon !== null && { currentMemory: { '@unit': 'MiB', '#text': vm.balloon } }),
    vcpu: vcpuOf(vm),
    os: {
      ...(vm.firmware === 'uefi' && { '@firmware': 'efi' }),
      type: { '@arch': vm.architecture, '@machine': platform.machine, '#text': 'hvm' },
      ...(vm.firmware === 'uefi' && { nvram: files.variables }),
      ...bootOf(vm),
    },
    ...(Object.keys(platform.features).length > 0 && { features: platform.features }),
    ...((vm.cpu_model !== null || vm.topology !== null) && { cpu: cpuOf(vm) }),
    clock: { '@offset': 'utc' },
    on_poweroff: 'destroy',
    on_reboot: 'restart',
    on_crash: 'destroy',
    devices: {
      disk,
      interface: vm.nics.map((nic) => nicOf(nic, order)),
      controller: [
        ...(disk.some(({ target }) => target['@bus'] === 'scsi') ? [{ '@type': 'scsi', '@model': 'virtio-scsi' }] : []),
        ...portsOf(vm),
      ],
      ...(vm.graphics.length > 0 && {
        graphics: vm.graphics.map((type) => ({ '@type': type, listen: { '@type': 'socket' } })),
      }),
      video: { model: { '@type': vm.video } },
      // Of two at a pty each would get a part of what the guest writes (docs/adr/0010).
      serial: {
        '@type': 'unix',
        source: { '@mode': 'bind', '@path': files.socket },
        log: { '@file': files.log, '@append': 'off' },
        target: { '@port': '0', ...platform.serial },
      },
      channel: { '@type': 'unix', target: { '@type': 'virtio', '@name': 'org.qemu.guest_agent.0' } },
      rng: { '@model': 'virtio', backend: { '@model': 'random', '#text': '/dev/urandom' } },
      memballoon: { '@model': 'virtio', stats: { '@period': '10' } },
    },
  }
  return builder.build({ domain }) as string
}
