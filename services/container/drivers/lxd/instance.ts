import type { ContainerStatus } from '#shared/contracts/container/parts.ts'
import { type Definition, idLabel, type Listed, type Seen } from '../driver.ts'

export type Device = Record<string, string>

/** The fields of an instance that Horcrux reads (LXD and Incus, "REST API": GET /1.0/instances/{name}). */
export type Instance = {
  name: string
  type: 'virtual-machine' | 'container'
  status: string
  status_code: number
  created_at: string
  architecture: string
  ephemeral: boolean
  profiles: string[]
  config: Record<string, string>
  devices: Record<string, Device>
  expanded_config: Record<string, string>
  expanded_devices: Record<string, Device>
}

/** GET /1.0/instances/{name}/state */
export type State = {
  pid: number
  network: Record<string, { addresses: { family: string; address: string; scope: string }[]; hwaddr: string }> | null
}

/** Status codes of the API ("REST API": status codes). */
const statuses: Record<number, ContainerStatus> = {
  102: 'stopped',
  103: 'running',
  110: 'paused',
  111: 'running',
  112: 'stopped',
}

export const statusOf = ({ status, status_code }: Pick<Instance, 'status' | 'status_code'>) => {
  const found = statuses[status_code]
  return found
    ? { status: found, status_reason: null }
    : { status: 'unknown' as const, status_reason: status.toLowerCase() }
}

/** The engine's own id of an instance, which a new name does not change. */
export const uuidOf = ({ config }: Pick<Instance, 'config'>): string => config['volatile.uuid'] ?? ''

const labelPrefix = 'user.'
const environmentPrefix = 'environment.'

const keysUnder = (config: Record<string, string>, prefix: string) =>
  Object.fromEntries(
    Object.entries(config)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), value]),
  )

export const labelsOf = ({ config }: Pick<Instance, 'config'>) => keysUnder(config, labelPrefix)
export const listed = (instance: Instance): Listed => ({
  engine_id: uuidOf(instance),
  name: instance.name,
  status: statusOf(instance).status,
  labels: labelsOf(instance),
})

const units: Record<string, number> = {
  '': 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
}

/** A size such as `64MiB`, in MiB; null for none, and for a share of the node's memory. */
export function mibOf(size: string | undefined): number | null {
  const [, number, unit = ''] = /^(\d+)([A-Za-z]*)$/.exec(size ?? '') ?? []
  return number === undefined || units[unit] === undefined ? null : Math.round((Number(number) * units[unit]) / 2 ** 20)
}

/** An allowance such as `50ms/100ms`, in processors. */
export function cpusOf(allowance: string | undefined): number | null {
  const [, quota, period] = /^(\d+)ms\/(\d+)ms$/.exec(allowance ?? '') ?? []
  return quota === undefined ? null : Number(quota) / Number(period)
}

const periodMs = 100
export const allowanceOf = (cpus: number) => `${Math.max(1, Math.round(cpus * periodMs))}ms/${periodMs}ms`

type Limits = Partial<Pick<Seen, 'memory' | 'cpus' | 'pids'>>
/** The keys of limits; an empty value is no limit. */
export const limitKeys = ({ memory, cpus, pids }: Limits): Record<string, string> => ({
  ...(memory !== undefined && { 'limits.memory': memory === null ? '' : `${memory}MiB` }),
  ...(cpus !== undefined && { 'limits.cpu.allowance': cpus === null ? '' : allowanceOf(cpus) }),
  ...(pids !== undefined && { 'limits.processes': pids === null ? '' : String(pids) }),
})

const withPrefix = (prefix: string, values: Record<string, string>) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [`${prefix}${key}`, value]))

type Wanted = Pick<Definition, 'id' | 'env' | 'labels' | 'memory' | 'cpus' | 'pids' | 'mounts' | 'ports'> &
  Partial<Pick<Definition, 'privileged'>>

/** The configuration and devices of a new instance. @param pool the storage pool of its root and its volumes */
export function wantedOf(
  definition: Wanted,
  pool: string,
): { config: Record<string, string>; devices: Record<string, Device> } {
  const { id, env, labels, memory, cpus, pids, mounts, ports } = definition
  const limits = Object.entries(limitKeys({ memory, cpus, pids })).filter(([, value]) => value !== '')
  const disks = mounts.map(({ type, source, target, read_only }, index): [string, Device] => [
    `mount${index}`,
    { type: 'disk', source, path: target, ...(type === 'volume' && { pool }), ...(read_only && { readonly: 'true' }) },
  ])
  const proxies = ports.map(({ container_port, host_port, protocol, host_ip }): [string, Device] => {
    const address = host_ip.includes(':') ? `[${host_ip}]` : host_ip
    const connect = `${protocol}:127.0.0.1:${container_port}`
    return [`port${host_port}-${protocol}`, { type: 'proxy', listen: `${protocol}:${address}:${host_port}`, connect }]
  })
  return {
    config: {
      ...Object.fromEntries(limits),
      ...(definition.privileged && { 'security.privileged': 'true' }),
      ...withPrefix(environmentPrefix, env),
      ...withPrefix(labelPrefix, { ...labels, [idLabel]: id }),
    },
    devices: { root: { type: 'disk', path: '/', pool }, ...Object.fromEntries(disks), ...Object.fromEntries(proxies) },
  }
}

function portOf({ listen = '', connect = '' }: Device): Seen['ports'] {
  const [, protocol, host_ip, host_port] = /^(tcp|udp):\[?([^\]]*?)\]?:(\d+)$/.exec(listen) ?? []
  const container_port = Number(connect.split(':').at(-1))
  if ((protocol !== 'tcp' && protocol !== 'udp') || !container_port) return []
  return [{ container_port, host_port: Number(host_port), protocol, host_ip: host_ip || '0.0.0.0' }]
}

/** An instance as it is. @param state null for one that is off */
export function described(instance: Instance, state: State | null): Seen {
  const { expanded_config: config, expanded_devices: devices } = instance
  const all = Object.values(devices)
  const networks = Object.entries(state?.network ?? {}).filter(([name]) => name !== 'lo')
  return {
    engine_id: uuidOf(instance),
    name: instance.name,
    image: config['volatile.base_image'] || null,
    command: [],
    env: keysUnder(config, environmentPrefix),
    labels: labelsOf(instance),
    memory: mibOf(config['limits.memory']),
    cpus: cpusOf(config['limits.cpu.allowance']),
    pids: config['limits.processes'] ? Number(config['limits.processes']) : null,
    mounts: all
      .filter(({ type, path }) => type === 'disk' && path !== '/')
      .map(({ source, path = '', pool, readonly }) => ({
        type: pool === undefined ? 'bind' : 'volume',
        source: source ?? null,
        target: path,
        read_only: readonly === 'true',
      })),
    ports: all.filter(({ type }) => type === 'proxy').flatMap(portOf),
    networks: networks.map(([name, { addresses, hwaddr }]) => ({
      name,
      address: addresses.find(({ scope }) => scope === 'global')?.address ?? null,
      mac: hwaddr || null,
    })),
    pid: state && state.pid > 0 ? state.pid : null,
    restart_policy: config['boot.autostart'] === 'true' ? 'always' : 'no',
    health_check: null,
    health: null,
    privileged: config['security.privileged'] === 'true' || config['raw.lxc'] !== undefined,
    ...statusOf(instance),
    exit_code: null,
    created_at: new Date(instance.created_at).toISOString(),
  }
}
