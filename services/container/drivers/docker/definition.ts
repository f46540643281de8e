import type { ContainerCreateOptions } from 'dockerode'
import type { HealthCheck } from '#shared/contracts/container/parts.ts'
import { type Definition, idLabel } from '../driver.ts'

const mib = 2 ** 20
export const nanosPerSecond = 1e9

/** The memory and swap of a limit: swap goes with memory, or a later raise is refused. */
export const memoryOf = (memory: number | null) => ({
  Memory: memory === null ? 0 : memory * mib,
  MemorySwap: memory === null ? 0 : memory * mib,
})

export const healthOf = ({ command, interval, timeout, retries }: HealthCheck) => ({
  Test: ['CMD', ...command],
  Interval: interval * nanosPerSecond,
  Timeout: timeout * nanosPerSecond,
  Retries: retries,
})

type Ports = Definition['ports']

/** The ports that a container publishes. */
export function publishingOf(ports: Ports) {
  const keyOf = (port: Ports[number]) => `${port.container_port}/${port.protocol}`
  const bindings = [...Map.groupBy(ports, keyOf)].map(([key, all]) => [
    key,
    all.map(({ host_ip, host_port }) => ({ HostIp: host_ip, HostPort: String(host_port) })),
  ])
  return {
    ExposedPorts: Object.fromEntries(ports.map((port) => [keyOf(port), {}])) as Record<string, object>,
    PortBindings: Object.fromEntries(bindings) as Record<string, { HostIp: string; HostPort: string }[]>,
  }
}

export const mountsOf = (mounts: Definition['mounts']) =>
  mounts.map(({ type, source, target, read_only }) => ({
    Type: type,
    Source: source,
    Target: target,
    ReadOnly: read_only,
  }))

/** The request that makes a container (Docker API, ContainerCreate). */
export function creationOf(definition: Definition): ContainerCreateOptions {
  const { id, name, image, command, env, labels, memory, cpus, pids, mounts, ports } = definition
  const { ExposedPorts, PortBindings } = publishingOf(ports)
  return {
    name,
    Image: image ?? '',
    ...(command.length > 0 && { Cmd: command }),
    Env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    Labels: { ...labels, [idLabel]: id },
    ExposedPorts,
    ...(definition.health_check && { Healthcheck: healthOf(definition.health_check) }),
    HostConfig: {
      ...memoryOf(memory),
      NanoCpus: Math.round((cpus ?? 0) * nanosPerSecond),
      PidsLimit: pids ?? 0,
      Mounts: mountsOf(mounts),
      PortBindings,
      RestartPolicy: { Name: definition.restart_policy },
      ...(definition.privileged && { Privileged: true }),
    },
  }
}
