import { hash } from 'node:crypto'
import type { Project, Service } from './schema.ts'

/** Names the stack of a container. */
const stackLabel = 'horcrux.stack'
/** The hash of the service that a container was made of: another one has Compose make it again. */
export const specLabel = 'horcrux.spec'

/** Texts for Compose, which takes `$$` for `$`. */
function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$')
  if (Array.isArray(value)) return value.map(escaped)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, escaped(one)]))
}

const portText = ({ target, published, protocol, host_ip }: NonNullable<Service['ports']>[number]) => {
  const ip = host_ip === undefined ? '' : `${host_ip.includes(':') ? `[${host_ip}]` : host_ip}:`
  const from = published === undefined ? (ip === '' ? '' : ':') : `${published}:`
  return `${ip}${from}${target}/${protocol}`
}

/** The settings of a service as both generations of Compose read them. */
function settingsOf({ ports, expose, ...service }: Service) {
  return {
    ...service,
    ...(ports && { ports: ports.map(portText) }),
    ...(expose && { expose: expose.map(String) }),
  }
}

/** The hash of all that a service's containers are made of; their number makes none of them another one. */
export const specOf = (service: Service): string => {
  const { scale: _scale, ...settings } = service
  return hash('sha256', JSON.stringify(settings), 'base64url').slice(0, 22)
}

/** A project as Compose gets it: JSON, so that it cannot be read otherwise than it was checked. */
export function documentOf(stack: string, { services, volumes, networks }: Project): string {
  const marked = Object.entries(services).map(([name, service]) => {
    const labels = { ...service.labels, [stackLabel]: stack, [specLabel]: specOf(service) }
    return [name, { ...settingsOf(service), labels }]
  })
  return JSON.stringify(escaped({ services: Object.fromEntries(marked), volumes, networks }))
}
