import { requireRight } from '#shared/access/require-right.ts'
import type { Violation } from '#shared/errors.ts'
import { allowedPath } from '#shared/nodes/host/allowed-path.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { checking } from '#shared/service/violations.ts'
import { takenPorts } from '../lifecycle/create.ts'
import { resolveMounts } from '../lifecycle/mounts.ts'
import { containerRecords } from '../model.ts'
import { stackIdOf, stackPathOf } from './model.ts'
import type { Project, Service } from './project/schema.ts'
import { composingOf, type StackPlace } from './standing.ts'

type Mounts = NonNullable<Service['volumes']>

/** The mounts of a service with real paths of the node, by the rules of every new container. */
async function mountsOf(reached: Reached, mounts: Mounts, at: string, violations: Violation[]): Promise<Mounts> {
  const resolved: Mounts = []
  for (const [index, mount] of mounts.entries()) {
    if (mount.type !== 'bind') {
      resolved.push(mount)
      continue
    }
    const own: Violation[] = []
    const { read_only = false, ...bind } = mount
    const [real] = await resolveMounts(reached, [{ ...bind, read_only }], own)
    violations.push(...own.map((one) => ({ ...one, field: one.field.replace(/^mounts\.0/, `${at}.volumes.${index}`) })))
    if (real?.type === 'bind') resolved.push({ ...mount, source: real.source })
  }
  return resolved
}

/** Violations of what the node and its engine have. */
async function ofService(place: StackPlace, key: string, service: Service, violations: Violation[]): Promise<Service> {
  const { reached, runtime, name } = place
  const [at, node] = [`compose_file.services.${key}`, reached.node.id]
  const { images } = composingOf(runtime)
  if ((await images.find(reached, service.image)) === null)
    violations.push({ field: `${at}.image`, code: 'not_found', message: 'is not on the node: pull or import it first' })
  const published = (service.ports ?? []).map(({ published: host_port, target, protocol, host_ip = '0.0.0.0' }) => ({
    // Port 0 is published by nobody.
    host_port: host_port ?? 0,
    container_port: target,
    protocol,
    host_ip,
  }))
  const taken = await takenPorts({ node, ports: published, exceptStack: name })
  violations.push(
    ...taken.map((one) => ({ ...one, field: `${at}.${one.field.replace(/\.host_port$/, '.published')}` })),
  )
  if (service.container_name !== undefined) {
    const other = await containerRecords.find({ node, runtime, name: service.container_name, stack: { $ne: name } })
    if (other)
      violations.push({ field: `${at}.container_name`, code: 'taken', message: 'is the name of another container' })
  }
  return service.volumes ? { ...service, volumes: await mountsOf(reached, service.volumes, at, violations) } : service
}

/** Checks a project against its node. @returns it with real paths; add all violations to those that are known */
export async function checkedProject(place: StackPlace, project: Project, violations: Violation[]): Promise<Project> {
  const services: [string, Service][] = []
  for (const [key, service] of Object.entries(project.services))
    services.push([key, await ofService(place, key, service, violations)])
  return { ...project, services: Object.fromEntries(services) }
}

/** A privileged service needs the right that a privileged container needs. */
export function requireRights(call: Pick<Call, 'caller' | 'rights'>, place: StackPlace, project: Project): void {
  const { reached, runtime, name } = place
  if (Object.values(project.services).some(({ privileged }) => privileged === true))
    requireRight(call, 'ContainerPrivileged', stackPathOf(stackIdOf(reached.node.id, runtime, name)))
}

/** Checks the real paths of a project once more, right before it is brought up: a folder may have become a link since. */
export async function requirePaths(
  { reached: { host, node } }: StackPlace,
  { services }: Project,
): Promise<Violation[]> {
  const violations: Violation[] = []
  for (const [key, { volumes = [] }] of Object.entries(services))
    for (const [index, mount] of volumes.entries()) {
      if (mount.type !== 'bind') continue
      const field = `compose_file.services.${key}.volumes.${index}.source`
      const real = await checking(field, violations, () => allowedPath(host, mount.source, node, field))
      if (real !== undefined && real !== mount.source)
        violations.push({ field, code: 'forbidden_path', message: `'${mount.source}' has become a link` })
    }
  return violations
}
