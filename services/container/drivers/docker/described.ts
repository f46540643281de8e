import type { ContainerInfo, ContainerInspectInfo } from 'dockerode'
import type { ContainerStatus, HealthCheck, RestartPolicy } from '#shared/contracts/container/parts.ts'
import type { Listed, Seen } from '../driver.ts'
import { nanosPerSecond } from './definition.ts'

const mib = 2 ** 20

const statuses: Record<string, ContainerStatus> = {
  running: 'running',
  paused: 'paused',
  created: 'stopped',
  exited: 'stopped',
  stopped: 'stopped',
  dead: 'stopped',
  configured: 'stopped',
  initialized: 'stopped',
}

/** The status in the words of Docker and Podman; a passing state is its own reason. */
export const statusOf = (word: string): Pick<Seen, 'status' | 'status_reason'> => {
  const status = statuses[word.toLowerCase()]
  return status ? { status, status_reason: null } : { status: 'stopped', status_reason: word.toLowerCase() }
}

export const listed = ({ Id, Names, State, Labels }: ContainerInfo): Listed => ({
  engine_id: Id,
  name: nameIn(Names[0] ?? Id),
  status: statusOf(State).status,
  labels: Labels ?? {},
})

/** Docker writes names with a slash in front. */
const nameIn = (name: string) => name.replace(/^\//, '')

/** The limits of an inspection; 0 and less is no limit. */
const limitOf = (value: number | null | undefined, unit: number) =>
  value === null || value === undefined || value <= 0 ? null : value / unit

/** Fields of an inspection that the types of dockerode lack, or have otherwise than the engines. */
type Inspected = ContainerInspectInfo & {
  State: { Status: string; Health?: { Status?: string } | null }
  Config: { Healthcheck?: { Test?: string[] | null; Interval?: number; Timeout?: number; Retries?: number } | null }
}

const restartPolicies: readonly string[] = ['no', 'on-failure', 'always', 'unless-stopped'] satisfies RestartPolicy[]

function healthCheckOf(check: Inspected['Config']['Healthcheck']): HealthCheck | null {
  const [kind, ...command] = check?.Test ?? []
  if (!check || kind === undefined || kind === 'NONE' || command.length === 0) return null
  const seconds = (nanos: number | undefined, otherwise: number) =>
    nanos ? Math.max(1, Math.round(nanos / nanosPerSecond)) : otherwise
  return {
    command: kind === 'CMD-SHELL' ? ['/bin/sh', '-c', ...command] : command,
    interval: seconds(check.Interval, 30),
    timeout: seconds(check.Timeout, 30),
    retries: check.Retries || 3,
  }
}

function portsOf(bindings: unknown): Seen['ports'] {
  // The engine's own map of `80/tcp` to host ports; without a port of the host, the port is not published.
  const all = Object.entries((bindings ?? {}) as Record<string, { HostIp?: string; HostPort?: string }[] | null>)
  return all.flatMap(([key, hosts]) => {
    const [port, protocol] = key.split('/')
    if (protocol !== 'tcp' && protocol !== 'udp') return []
    return (hosts ?? []).flatMap(({ HostIp, HostPort }) =>
      Number(HostPort) > 0
        ? [
            {
              container_port: Number(port),
              host_port: Number(HostPort),
              protocol,
              host_ip: HostIp || '0.0.0.0',
            } as const,
          ]
        : [],
    )
  })
}

/** An inspected container, without what its control group says. */
export function described(inspected: ContainerInspectInfo): Seen {
  const { Id, Name, State, Config, HostConfig, Mounts, NetworkSettings, Created, Path, Args } = inspected as Inspected
  const { status, status_reason } = statusOf(State.Status)
  const policy = HostConfig.RestartPolicy?.Name ?? ''
  return {
    engine_id: Id,
    name: nameIn(Name),
    image: Config.Image || null,
    command: [Path, ...(Args ?? [])].filter((word) => word !== undefined && word !== null),
    env: Object.fromEntries((Config.Env ?? []).map((line) => splitOnce(line))),
    labels: Config.Labels ?? {},
    memory: limitOf(HostConfig.Memory, mib),
    cpus: limitOf(HostConfig.NanoCpus, nanosPerSecond),
    pids: limitOf(HostConfig.PidsLimit, 1),
    mounts: (Mounts ?? []).map(({ Type: type, Name: name, Source, Destination, RW }) => ({
      type: type ?? 'bind',
      source: (type === 'volume' ? name : Source) || null,
      target: Destination,
      read_only: !RW,
    })),
    ports: portsOf(HostConfig.PortBindings),
    networks: Object.entries(NetworkSettings.Networks ?? {}).map(([name, { IPAddress, MacAddress }]) => ({
      name,
      address: IPAddress || null,
      mac: MacAddress || null,
    })),
    pid: State.Pid || null,
    restart_policy: restartPolicies.includes(policy) ? (policy as RestartPolicy) : 'no',
    health_check: healthCheckOf(Config.Healthcheck),
    health: State.Health?.Status || null,
    privileged: HostConfig.Privileged ?? false,
    status,
    status_reason,
    exit_code: status === 'stopped' ? State.ExitCode : null,
    oom_killed: State.OOMKilled,
    created_at: new Date(Created).toISOString(),
  }
}

/** The name and the value of a variable. */
export function splitOnce(line: string): [string, string] {
  const at = line.indexOf('=')
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)]
}
