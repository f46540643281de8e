import { XMLBuilder } from 'fast-xml-parser'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import type { DiskRecord } from '../../../model.ts'
import type { Definition } from '../../guest.ts'
import { platforms } from '../host/platforms.ts'
import { markOfSource, sourceElement } from './disk-source.ts'
import { newDrives, scsiControllers } from './drive-places.ts'
import { isoDrive } from './parse-domain-xml.ts'
import { type Element, elements } from './xml.ts'

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  format: true,
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
})

/** XML namespace of our mark, by which a domain is recognised as a VM of Horcrux. */
const namespace = 'urn:horcrux:vm:1'

type Order = (name: string) => { boot: { '@order': number } } | undefined

/** Numbers of the devices in a guest's boot order; without one, `<os>` has the order. */
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

/** An element as the builder takes it. */
const built = ({ attributes, children }: Element): object => ({
  ...Object.fromEntries(Object.entries(attributes).map(([key, value]) => [`@${key}`, value])),
  ...Object.fromEntries(
    [...Map.groupBy(elements({ name: '', attributes: {}, children }), ({ name }) => name)].map(([name, all]) => [
      name,
      all.map(built),
    ]),
  ),
})

const diskOf = ({ id, source, format, bus, cache, readonly }: DiskRecord, order: Order) => ({
  '@type': source.type,
  '@device': 'disk',
  driver: {
    '@name': 'qemu',
    '@type': format,
    ...(cache !== 'default' && { '@cache': cache }),
    ...(cache === 'none' && { '@io': 'native' }),
    '@discard': 'unmap',
  },
  source: built(sourceElement(source)),
  target: { '@dev': id, '@bus': bus },
  ...order(id),
  ...(readonly && { readonly: '' }),
})

type Place = { drive: string; bus: string; controller?: number; unit: number }

/**
 * Address of a drive. From its name libvirt would derive an address on additional controllers, for SCSI of a model that
 * few guests support. No disk gets these addresses.
 */
const addressOf = ({ controller = 0, unit }: Place) => ({
  '@type': 'drive',
  '@controller': String(controller),
  '@bus': '0',
  '@target': '0',
  '@unit': String(unit),
})

const cdromOf = (place: Place, path: string | null, order?: Order) => ({
  '@type': 'file',
  '@device': 'cdrom',
  driver: { '@name': 'qemu', '@type': 'raw' },
  ...(path !== null && { source: { '@file': path } }),
  target: { '@dev': place.drive, '@bus': place.bus },
  ...order?.('cdrom'),
  readonly: '',
  address: addressOf(place),
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

/** The boot part of `<os>`: a kernel, or the order of devices unless they have their own. */
function bootOf({ boot, boot_order, iso }: Definition) {
  if (boot) {
    const { kernel, initrd, cmdline } = boot
    return { kernel, ...(initrd && { initrd }), ...(cmdline && { cmdline }) }
  }
  return boot_order ? {} : { boot: [...(iso === null ? [] : [{ '@dev': 'cdrom' }]), { '@dev': 'hd' }] }
}

/** PCIe ports for serial channels, entropy, balloon and USB. */
const portsTaken = 4

/** PCIe ports, some of them free for hot-plugging: libvirt makes no spare ones. */
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

/** Files of a guest on the node: log and socket of the serial console, and UEFI variables. */
export type Files = { log: string; socket: string; variables: string }

/** Our mark in a domain. */
const markFor = (vm: Definition, seedDrive: string, madeBy: string | undefined) => ({
  '@xmlns:horcrux': namespace,
  '@id': vm.id,
  // The domain may have another one; it is renamed when this changes.
  '@name': vm.name,
  // Names of our devices: only these are removed when they are not wanted any more. That of the ISO's drive stands for it.
  '@disks': [...vm.disks.map(({ id }) => id), isoDrive, ...(vm.seed === null ? [] : [seedDrive])].join(' '),
  '@nics': vm.nics.map(({ mac }) => mac).join(' '),
  ...(madeBy !== undefined && { '@made_by': madeBy }),
  '@seed': seedDrive,
  // Others may put another disk in a place of ours.
  'horcrux:disk': vm.disks.map(({ id, source }) => ({ '@place': id, '@source': markOfSource(source) })),
})

/**
 * The domain XML of a VM (libvirt's "Domain XML format").
 * @param files those of this guest
 * @param how.name the name of the domain, where it is not the VM's
 * @param how.madeBy the operation that makes the domain
 */
export function domainXml(
  vm: Definition,
  files: Files,
  { name = vm.name, madeBy }: { name?: string; madeBy?: string | undefined } = {},
): string {
  const platform = platforms[vm.architecture]
  const order = orderOf(vm)
  const drives = newDrives(vm.disks)
  const bus = platform.cdrom
  const isoPlace = { drive: drives.iso, bus, ...(bus === 'sata' ? drives.isoPort : { unit: 25 }) }
  const disk = [
    ...vm.disks.map((each) => diskOf(each, order)),
    // Every new guest has a drive for ISOs, so that one can be inserted while it runs.
    cdromOf(isoPlace, vm.iso, order),
    // Cloud kernels, such as Debian's, have no SATA.
    ...(vm.seed === null ? [] : [cdromOf({ drive: drives.seed, bus: 'scsi', unit: 24 }, vm.seed)]),
  ]
  const domain = {
    '@type': vm.accel === 'kvm' ? 'kvm' : 'qemu',
    name,
    uuid: vm.handle,
    metadata: { 'horcrux:vm': markFor(vm, drives.seed, madeBy) },
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
        ...(disk.some(({ target }) => target['@bus'] === 'scsi')
          ? scsiControllers(vm.disks).map((index) => ({ '@type': 'scsi', '@index': index, '@model': 'virtio-scsi' }))
          : []),
        ...portsOf(vm),
      ],
      ...(vm.graphics.length > 0 && {
        graphics: vm.graphics.map((type) => ({ '@type': type, listen: { '@type': 'socket' } })),
      }),
      video: { model: { '@type': vm.video } },
      // Two readers of a pty would each get a part of the output (docs/adr/0010).
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
