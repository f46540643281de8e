import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  localNode,
  Path,
  record,
  SearchPage,
  SearchQuery,
  strict,
  Time,
} from '#shared/contracts/common.ts'
import { Image as ImageName, newRuntime, Runtime } from '#shared/contracts/container/parts.ts'

export const Image = record('name tags runtime node size_bytes users created_at id')({
  id: Id,
  name: Type.String({ description: "Its first tag; without one, the first letters of the engine's id" }),
  runtime: Runtime,
  node: Id,
  engine_id: Type.String({ description: "The engine's full id of it" }),
  tags: Type.Array(Type.String(), { description: 'Names that it is found by' }),
  size_bytes: Type.Integer({ minimum: 0 }),
  used_by: Type.Array(strict({ id: Id, name: Type.String() }), {
    description: 'Containers that are made of it, as far as the caller may see them',
  }),
  users: Type.Integer({ minimum: 0, description: 'Number of all containers that are made of it' }),
  created_at: Time,
})
export type Image = Static<typeof Image>

const Unanswered = strict({ node: Id, runtime: Runtime, reason: Type.String() })

export const ArchiveKind = Type.Enum(['image', 'rootfs'], {
  default: 'image',
  description: "image: the engine's own archive; rootfs: a tar archive of a root file system",
})

/** The engine that an image is for. */
const place = { node: Type.String({ ...Id, default: localNode }), runtime: newRuntime }

const Secret = Type.String({
  minLength: 1,
  maxLength: 4096,
  pattern: '^[^\\u0000]*$',
  description: 'Never shown again',
})

/** LXD and Incus know no registry: the server of an image is named with it. */
const fromServer = {
  server: Type.Optional(
    Type.String({
      maxLength: 512,
      examples: ['https://images.example.org'],
      pattern: '^https://(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$',
      errorMessage: 'must be an address such as https://images.example.org, without a user and a query',
      description:
        'For LXD and Incus only, which need it: the image server that `image` is an alias or a fingerprint of',
    }),
  ),
  protocol: Type.Optional(
    Type.Enum(['simplestreams', 'engine'], {
      description: 'With server: simplestreams (default), or engine for another LXD or Incus, whose image is public',
    }),
  ),
  certificate: Type.Optional(
    Type.String({
      examples: ['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
      pattern: '^([0-9A-Fa-f]{64}|([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})$',
      errorMessage: 'must be a SHA-256 fingerprint: 64 hexadecimal digits, or 32 pairs with colons',
      description:
        'With server: SHA-256 of its certificate; no other is accepted. Else the authorities of the node decide',
    }),
  ),
}

export const images = contract('images', {
  list: {
    does: 'List the images of all engines',
    rest: 'GET /images',
    can: 'signed-in',
    itemAccess: 'ContainerAudit on /api/images/{id}',
    params: SearchQuery(Image, ['name', 'node', 'runtime', 'tags', 'users']),
    result: strict({
      ...SearchPage(Image).properties,
      unanswered: Type.Array(Unanswered, { description: 'Engines whose images are missing here' }),
    }),
  },
  get: {
    does: 'Get an image',
    rest: 'GET /images/{id}',
    can: 'ContainerAudit on /api/images/{id}',
    params: ById,
    result: Image,
  },
  pull: {
    does: 'Pull an image from a registry or an image server',
    rest: 'POST /images/pull',
    can: 'ContainerAllocate on /api/images',
    operation: true,
    audit: 'container_config_changed',
    params: strict({
      ...place,
      image: Type.String({ ...ImageName, description: 'registry/name:tag, or @ and a digest; without a tag: latest' }),
      username: Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f]*$' })),
      password: Type.Optional(Secret),
      ...fromServer,
    }),
    secret: ['password'],
    result: Image,
  },
  import: {
    does: 'Make an image of an archive on the node',
    rest: 'POST /images/import',
    can: 'ContainerAllocate on /api/images',
    operation: true,
    audit: 'container_config_changed',
    params: strict({
      ...place,
      path: Type.String({ ...Path, examples: ['/srv/images/debian-13.tar'] }),
      kind: ArchiveKind,
      name: Type.Optional(ImageName),
    }),
    result: Image,
  },
  delete: {
    does: 'Delete an image that no container is made of',
    rest: 'DELETE /images/{id}',
    can: 'ContainerAllocate on /api/images/{id}',
    operation: true,
    audit: 'container_config_changed',
    params: ById,
    result: Done,
  },
})
