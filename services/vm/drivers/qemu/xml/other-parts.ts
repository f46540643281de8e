import { attribute, at, type Element, elements } from './xml.ts'

/** Devices that every domain has and that carry nothing of the guest's own. */
const usual = new Set([
  'emulator',
  'disk',
  'controller',
  'serial',
  'console',
  'channel',
  'input',
  'memballoon',
  'rng',
  'panic',
  'audio',
])

/** Settings outside the devices that tune or bind a guest. */
const settings: Record<string, string> = {
  cputune: 'CPU pinning and shares',
  numatune: 'NUMA placement',
  memtune: 'memory limits',
  blkiotune: 'disk weights',
  memoryBacking: 'memory backing such as huge pages',
  launchSecurity: 'launch security',
  'qemu:commandline': 'arguments for QEMU',
  idmap: 'id map',
}

/** Kinds of NICs and displays that a record describes. */
const described: Record<string, readonly string[]> = { interface: ['network', 'bridge'], graphics: ['vnc', 'spice'] }

function nameOfDevice(device: Element): string {
  const kind = attribute(device, 'type') ?? attribute(device, 'model') ?? attribute(at(device, 'model'), 'type')
  const mac = attribute(at(device, 'mac'), 'address')
  return [device.name, kind && `(${kind})`, mac].filter(Boolean).join(' ')
}

/** True for a device that the fields of a record describe, or that every domain has. `index`: among those of its name. */
const isDescribed = (device: Element, index: number) =>
  usual.has(device.name) ||
  (device.name === 'video' && index === 0) ||
  described[device.name]?.includes(attribute(device, 'type') ?? '') === true

/**
 * The parts of a domain that stay in its definition although no field of a record describes them: devices such as host
 * devices, file systems and TPMs, and settings such as CPU pinning. Disks and media are told elsewhere.
 */
export function otherPartsOf(domain: Element): string[] {
  const seen = new Map<string, number>()
  const devices = elements(at(domain, 'devices')).filter((device) => {
    const index = seen.get(device.name) ?? 0
    seen.set(device.name, index + 1)
    return !isDescribed(device, index)
  })
  const tuned = elements(domain).flatMap(({ name }) => settings[name] ?? [])
  return [...devices.map(nameOfDevice), ...tuned]
}
