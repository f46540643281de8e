import { type Static, Type } from 'typebox'
import { Path, strict } from '#shared/contracts/common.ts'

const FileSource = strict({ type: Type.Literal('file'), path: Path })
const BlockSource = strict({ type: Type.Literal('block'), path: Path })
const NetworkSource = strict({
  type: Type.Literal('network'),
  protocol: Type.String({ pattern: '^[a-z][a-z0-9+]*$', description: "libvirt's name of the protocol" }),
  name: Type.String({ minLength: 1, maxLength: 1024, description: 'Name of the image at its servers' }),
  servers: Type.Array(
    strict({
      host: Type.String({ minLength: 1, maxLength: 255 }),
      port: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 65_535, description: "The protocol's own if not given" }),
      ),
    }),
  ),
  secret: Type.Optional(
    strict({
      username: Type.String(),
      usage: Type.String({ description: "libvirt's type of the secret" }),
      uuid: Type.String({ description: 'A secret of libvirt on the node; the secret itself is never here' }),
    }),
  ),
})

/** The bytes of a disk, as a node reaches them: a file, a block device, or an image on other machines. */
export const DiskSource = Type.Union([FileSource, BlockSource, NetworkSource])
export type DiskSource = Static<typeof DiskSource>

/** The path of a disk on its node, for clients that know disks by their paths; null for a network image. */
export const DiskPath = Type.Union([Path, Type.Null()], {
  description: 'Path of `source` on the node; null for a network image',
})

/** The path of a source; null for a network image. */
export const pathOfSource = (source: DiskSource): string | null => (source.type === 'network' ? null : source.path)

/** The id of the secret that a source names; null for one without. */
export const secretIdOf = (source: DiskSource): string | null =>
  source.type === 'network' ? (source.secret?.uuid ?? null) : null

/** A source in a message. */
export const nameOfSource = (source: DiskSource): string =>
  source.type === 'network' ? `${source.protocol}:${source.name}` : source.path

/** A record with a source, as its view: `path` is derived from the source, and never stored. */
export const withPath = <T extends { source: DiskSource }>(record: T): T & { path: string | null } => ({
  ...record,
  path: pathOfSource(record.source),
})

/** True for the same image. Sources with a path are compared by it, also a file with a device; others by all fields. */
export function isSameSource(a: DiskSource, b: DiskSource): boolean {
  if (a.type !== 'network' && b.type !== 'network') return a.path === b.path
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
}

/** The fields in one order. */
function sorted(source: DiskSource): unknown {
  if (source.type !== 'network') return source
  const { protocol, name, servers, secret } = source
  return [protocol, name, servers.map(({ host, port }) => [host, port]), secret?.username, secret?.usage, secret?.uuid]
}
