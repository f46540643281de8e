import type { Violation } from '#shared/errors.ts'
import type { Project, Service } from './schema.ts'

/** Networks of an engine that give the node's own, or none. */
const forbiddenNetworks = ['host', 'none']
/** Labels that Compose, Podman and Horcrux set themselves. */
const reserved = /^(com\.docker\.|io\.podman\.|horcrux\.)/

const invalid = (field: string, message: string): Violation => ({ field, code: 'invalid', message })

function* ofLabels(labels: Record<string, string> | undefined, at: string): Generator<Violation> {
  for (const key of Object.keys(labels ?? {}))
    if (reserved.test(key)) yield { field: `${at}.labels.${key}`, code: 'reserved', message: 'is set by Compose' }
}

function* ofMounts({ volumes = [], tmpfs = [] }: Service, project: Project, at: string): Generator<Violation> {
  const targets = new Set<string>()
  const places = [
    ...volumes.map(({ target }, index) => ({ target, field: `${at}.volumes.${index}.target` })),
    ...tmpfs.map((target, index) => ({ target, field: `${at}.tmpfs.${index}` })),
  ]
  for (const { target, field } of places) {
    if (target === '/' || target.split('/').includes('..'))
      yield invalid(field, 'must be a folder of the container, without ..')
    // Docker reads options behind a colon.
    if (target.includes(':')) yield invalid(field, 'must not contain a colon')
    if (targets.has(target)) yield { field, code: 'duplicate', message: `'${target}' has another mount` }
    targets.add(target)
  }
  for (const [index, mount] of volumes.entries())
    if (mount.type === 'volume' && mount.source !== undefined && !(mount.source in project.volumes))
      yield invalid(`${at}.volumes.${index}.source`, `volume '${mount.source}' is not among the volumes of the file`)
}

function* ofPorts({ ports = [], scale = 1 }: Service, at: string, taken: Map<string, string>): Generator<Violation> {
  for (const [index, { published, protocol, host_ip = '0.0.0.0' }] of ports.entries()) {
    if (published === undefined) continue
    const [field, key] = [`${at}.ports.${index}`, `${host_ip} ${published}/${protocol}`]
    const other = taken.get(key)
    if (other !== undefined) yield { field, code: 'duplicate', message: `${key} is also published by ${other}` }
    taken.set(key, field)
    if (scale > 1) yield invalid(field, `can be published by one container only, and scale is ${scale}`)
  }
}

function* ofReferences(name: string, service: Service, project: Project, at: string): Generator<Violation> {
  for (const other of Object.keys(service.depends_on ?? {}))
    if (other === name || !(other in project.services))
      yield invalid(`${at}.depends_on.${other}`, 'must be another service of the file')
  for (const network of Object.keys(service.networks ?? {}))
    if (network !== 'default' && !(network in project.networks))
      yield invalid(`${at}.networks.${network}`, 'is not among the networks of the file')
  if (service.container_name !== undefined && (service.scale ?? 1) > 1)
    yield invalid(`${at}.container_name`, `can be of one container only, and scale is ${service.scale}`)
}

/** Services that wait for themselves. */
function* ofCycles({ services }: Project): Generator<Violation> {
  const done = new Set<string>()
  const open: string[] = []
  function* walk(name: string): Generator<Violation> {
    if (done.has(name) || !services[name]) return
    if (open.includes(name)) {
      const round = [...open.slice(open.indexOf(name)), name].join(' → ')
      yield invalid(`compose_file.services.${name}.depends_on`, `must not go round: ${round}`)
      return
    }
    open.push(name)
    for (const other of Object.keys(services[name].depends_on ?? {})) if (other !== name) yield* walk(other)
    open.pop()
    done.add(name)
  }
  for (const name of Object.keys(services)) yield* walk(name)
}

/** Violations between the fields of a project. */
export function contradictionsOf(project: Project): Violation[] {
  const found: Violation[] = []
  const taken = new Map<string, string>()
  for (const [name, service] of Object.entries(project.services)) {
    const at = `compose_file.services.${name}`
    found.push(
      ...ofLabels(service.labels, at),
      ...ofMounts(service, project, at),
      ...ofPorts(service, at, taken),
      ...ofReferences(name, service, project, at),
    )
  }
  for (const [name, { name: own, labels }] of Object.entries(project.networks)) {
    const at = `compose_file.networks.${name}`
    found.push(...ofLabels(labels, at))
    if (forbiddenNetworks.includes(own ?? name))
      found.push(invalid(at, `must not be the network '${own ?? name}' of the engine`))
  }
  for (const [name, { labels }] of Object.entries(project.volumes))
    found.push(...ofLabels(labels, `compose_file.volumes.${name}`))
  return [...found, ...ofCycles(project)]
}
