import { createHash } from 'node:crypto'
import { type DiskSource, nameOfSource } from '#shared/contracts/storage/disk-source.ts'
import { at, attribute, type Element, elements } from './xml.ts'

type Attributes = Record<string, string>
const element = (name: string, attributes: Attributes, ...children: Element[]): Element => ({
  name,
  attributes,
  children,
})

/**
 * A disk source in libvirt's words ("Domain XML format": hard drives). Its `type` is the `type` of the disk.
 * @param name of the element: `source` in a domain, `target` in a backup
 */
export function sourceElement(source: DiskSource, name = 'source'): Element {
  if (source.type === 'file') return element(name, { file: source.path })
  if (source.type === 'block') return element(name, { dev: source.path })
  const { protocol, name: image, servers, secret } = source
  const hosts = servers.map(({ host, port }) =>
    element('host', { name: host, ...(port !== undefined && { port: String(port) }) }),
  )
  const auth = secret && [
    element('auth', { username: secret.username }, element('secret', { type: secret.usage, uuid: secret.uuid })),
  ]
  return element(name, { protocol, name: image }, ...hosts, ...(auth ?? []))
}

/** A source in our mark: a hash, so that replacing a path in the whole definition does not change it. */
export const markOfSource = (source: DiskSource): string =>
  createHash('sha256').update(nameOfSource(source)).digest('hex').slice(0, 16)

/** The secret of a network disk; older definitions have `<auth>` beside the source. */
function secretOf(disk: Element): { username: string; usage: string; uuid: string } | undefined {
  const auth = at(disk, 'source', 'auth') ?? at(disk, 'auth')
  const [username, usage, uuid] = [
    attribute(auth, 'username'),
    attribute(at(auth, 'secret'), 'type'),
    attribute(at(auth, 'secret'), 'uuid'),
  ]
  if (username === undefined || usage === undefined || uuid === undefined) return undefined
  return { username, usage, uuid }
}

/**
 * The source of a disk; null for one that has none, such as an empty drive, and for what a record cannot describe:
 * pools of libvirt, vhost-user, servers behind a Unix socket, secrets by their usage name.
 */
export function sourceOf(disk: Element): DiskSource | null {
  const source = at(disk, 'source')
  const [file, dev, protocol, name] = ['file', 'dev', 'protocol', 'name'].map((key) => attribute(source, key))
  if (file !== undefined) return { type: 'file', path: file }
  if (dev !== undefined) return { type: 'block', path: dev }
  if (attribute(disk, 'type') !== 'network' || protocol === undefined || name === undefined) return null
  const hosts = elements(source, 'host')
  const hasAuth = (at(source, 'auth') ?? at(disk, 'auth')) !== undefined
  const secret = secretOf(disk)
  if ((hasAuth && !secret) || hosts.some((host) => attribute(host, 'name') === undefined)) return null
  const servers = hosts.map((host) => {
    const port = attribute(host, 'port')
    return { host: attribute(host, 'name')!, ...(port !== undefined && { port: Number(port) }) }
  })
  return { type: 'network', protocol, name, servers, ...(secret && { secret }) }
}
