import type { VmStatus } from '#shared/contracts/vm/vms.ts'
import type { Definition, Guest, Seen, Sizes } from '../driver.ts'

/** Where the guest is to be found again: engines have UUIDs of their own, and let nobody choose them. */
const uuidKey = 'user.horcrux.uuid'

export type Device = Record<string, string>

/** An instance, as far as Horcrux looks at it (LXD and Incus, "REST API": GET /1.0/instances/{name}). */
export type Instance = {
  name: string
  type: 'virtual-machine' | 'container'
  status: string
  status_code: number
  config: Record<string, string>
  devices: Record<string, Device>
  profiles: string[]
  description: string
  last_used_at: string
}

export const uuidOf = ({ config }: Pick<Instance, 'config'>) => config[uuidKey]
export const isOf = (instance: Instance, { domain_uuid }: Guest) => uuidOf(instance) === domain_uuid

/** Status codes of the API ("REST API": status codes). */
const statuses: Record<number, VmStatus> = {
  102: 'stopped',
  103: 'running',
  110: 'paused',
  111: 'running',
  112: 'stopped',
}
const isErrored = 112

export const seenAs = ({ status, status_code }: Pick<Instance, 'status' | 'status_code'>): Seen => ({
  status: statuses[status_code] ?? 'unknown',
  status_reason: status_code === isErrored ? 'The engine reports an error' : status_code in statuses ? null : status,
})

/** The sizes that an instance is given, where they are in the words that Horcrux uses. */
export function sizesOf({ config }: Pick<Instance, 'config'>): Sizes | null {
  const memory = /^(\d+)MiB$/.exec(config['limits.memory'] ?? '')?.[1]
  const cpus = /^\d+$/.exec(config['limits.cpu'] ?? '')?.[0]
  if (memory === undefined || cpus === undefined) return null
  return { memory: Number(memory), cpus: Number(cpus), balloon: null, max_cpus: null }
}

const mark = 'horcrux-'
const deviceName = (name: string) => `${mark}${name}`

/** Devices that Horcrux gives an instance; those that it has beside them are its owner's. */
function devicesOf({ disks, nics, iso, seed }: Definition): Record<string, Device> {
  const all: [string, Device][] = [
    ...disks.map(({ id, path, readonly }, index): [string, Device] => [
      deviceName(id),
      {
        type: 'disk',
        source: path,
        'boot.priority': String(disks.length - index),
        ...(readonly && { readonly: 'true' }),
      },
    ]),
    ...nics.map(({ mac, network, bridge }, index): [string, Device] => [
      deviceName(`eth${index}`),
      {
        type: 'nic',
        hwaddr: mac,
        ...(network === null ? { nictype: 'bridged', parent: bridge ?? '' } : { network }),
      },
    ]),
    ...Object.entries({ iso, seed }).flatMap(([name, path]): [string, Device][] =>
      path === null
        ? []
        : [[deviceName(name), { type: 'disk', source: path, ...(name === 'iso' && { 'boot.priority': '100' }) }]],
    ),
  ]
  return Object.fromEntries(all)
}

/** What of an instance follows from the guest's description. */
export function wantedOf(
  vm: Definition,
  { type, hasCsm }: { type: Instance['type']; hasCsm: boolean },
): Pick<Instance, 'config' | 'devices'> {
  const firmware = {
    'security.secureboot': 'false',
    ...(hasCsm && { 'security.csm': String(vm.firmware === 'bios') }),
  }
  return {
    config: {
      [uuidKey]: vm.domain_uuid,
      'user.horcrux.id': vm.id,
      'limits.memory': `${vm.memory}MiB`,
      'limits.cpu': String(vm.cpus),
      'boot.autostart': String(vm.autostart),
      ...(type === 'virtual-machine' && firmware),
    },
    devices: devicesOf(vm),
  }
}

/** An instance as it is to be: what Horcrux gives it, and what it has from others. */
export function changed(
  { config, devices, profiles, description }: Instance,
  wanted: Pick<Instance, 'config' | 'devices'>,
): Pick<Instance, 'config' | 'devices' | 'profiles' | 'description'> {
  const others = Object.entries(devices).filter(([name]) => !name.startsWith(mark))
  return {
    description,
    profiles,
    config: { ...config, ...wanted.config },
    devices: { ...Object.fromEntries(others), ...wanted.devices },
  }
}
