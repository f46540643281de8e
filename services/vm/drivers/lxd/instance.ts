import { type DiskSource, nameOfSource, pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError } from '#shared/errors.ts'
import type { VmStatus } from '#shared/contracts/vm/vms.ts'
import type { Status } from '../driver.ts'
import type { Definition, Guest } from '../guest.ts'
import type { Sizes } from '../parts.ts'

/** The key of the instance's configuration that has our handle: the engine's own UUIDs cannot be chosen. */
const handleKey = 'user.horcrux.uuid'

export type Device = Record<string, string>

/** The fields of an instance that Horcrux reads (LXD and Incus, "REST API": GET /1.0/instances/{name}). */
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

export const handleIn = ({ config }: Pick<Instance, 'config'>) => config[handleKey]
export const isOf = (instance: Instance, { handle }: Guest) => handleIn(instance) === handle

/** Status codes of the API ("REST API": status codes). */
const statuses: Record<number, VmStatus> = {
  102: 'stopped',
  103: 'running',
  110: 'paused',
  111: 'running',
  112: 'stopped',
}
const isErrored = 112

export const statusOf = ({ status, status_code }: Pick<Instance, 'status' | 'status_code'>): Status => ({
  status: statuses[status_code] ?? 'unknown',
  status_reason: status_code === isErrored ? 'The engine reports an error' : status_code in statuses ? null : status,
})

/** The sizes of an instance; null where they are written in another way than Horcrux writes them. */
export function sizesOf({ config }: Pick<Instance, 'config'>): Sizes | null {
  const memory = /^(\d+)MiB$/.exec(config['limits.memory'] ?? '')?.[1]
  const cpus = /^\d+$/.exec(config['limits.cpu'] ?? '')?.[0]
  if (memory === undefined || cpus === undefined) return null
  return { memory: Number(memory), cpus: Number(cpus), balloon: null, max_cpus: null }
}

const mark = 'horcrux-'
const deviceName = (name: string) => `${mark}${name}`

/** @throws ConflictError for a network image */
function hostPathOf(source: DiskSource): string {
  const path = pathOfSource(source)
  if (path === null)
    throw new ConflictError(`${nameOfSource(source)} is a network image; LXD and Incus take files and devices`)
  return path
}

/** Devices that Horcrux gives an instance; those that it has beside them are its owner's. */
function devicesOf({ disks, nics, iso, seed }: Definition): Record<string, Device> {
  const all: [string, Device][] = [
    ...disks.map(({ id, source, readonly }, index): [string, Device] => [
      deviceName(id),
      {
        type: 'disk',
        source: hostPathOf(source),
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

/** The configuration and devices that an instance gets from the guest's definition. */
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
      [handleKey]: vm.handle,
      'user.horcrux.id': vm.id,
      'limits.memory': `${vm.memory}MiB`,
      'limits.cpu': String(vm.cpus),
      'boot.autostart': String(vm.autostart),
      ...(type === 'virtual-machine' && firmware),
    },
    devices: devicesOf(vm),
  }
}

/** An instance after a change: with Horcrux's configuration and devices, and with those that others gave it. */
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
