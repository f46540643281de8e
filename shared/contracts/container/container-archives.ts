import { Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, nullable, strict } from '#shared/contracts/common.ts'
import { Container } from '#shared/contracts/container/container.ts'
import { Command, Environment, Grace, Runtime } from '#shared/contracts/container/parts.ts'
import { LeftOut, SavedContainer, SavedPlace } from '#shared/contracts/container/saved-container.ts'

/** Actions for the service that makes backups. */
const byStorage = { can: 'service', callers: ['storage'] } as const

const optional = {
  container_id: Type.Optional(Id),
  name: Type.Optional(Type.String({ maxLength: 63 })),
  node: Type.Optional(Id),
  runtime: Type.Optional(Runtime),
  command: Type.Optional(Command),
  env: Type.Optional(Environment),
  resource_pool: Type.Optional(Id),
}

/** The new container that a backup becomes. */
const Building = strict({
  backup_id: Id,
  ...optional,
  bind_mounts: Type.Boolean({ description: 'Mount the folders of the node again' }),
})

const Foreseen = strict({
  container_id: Id,
  name: Type.String(),
  node: Id,
  runtime: Runtime,
  ports: Container.properties.ports,
  places: Type.Array(SavedPlace),
  left_out: Type.Array(LeftOut),
  missing_env: Type.Array(Type.String()),
  differences: Type.Array(
    strict({ field: Type.String(), backup: Type.String(), restored: Type.String(), reason: Type.String() }),
  ),
  needs_privilege: Type.Boolean({ description: 'It has ways to its node that only ContainerPrivileged allows' }),
})

/** The bytes of containers for backups. */
export const containerArchives = contract('container-archives', {
  describe: {
    does: 'Describe a container for a backup, and the parts of its files that can be read',
    ...byStorage,
    params: strict({ id: Id }),
    result: strict({
      container: SavedContainer,
      places: Type.Array(SavedPlace),
      left_out: Type.Array(LeftOut),
      created_at: Container.properties.created_at,
    }),
  },
  open: {
    does: 'Begin to read a part of the files of a container as a tar archive, with the users that the container has',
    ...byStorage,
    params: strict({ id: Id, place: SavedPlace.properties.id }),
    result: strict({ stream_id: Type.String(), replica: Type.String() }),
  },
  list: {
    does: 'List the containers that can be backed up, a page at a time',
    ...byStorage,
    params: strict({ after: Type.Optional(Id) }),
    result: strict({
      data: Type.Array(
        strict({
          id: Id,
          name: Type.String(),
          node: Id,
          labels: Container.properties.labels,
          created_at: Container.properties.created_at,
        }),
      ),
      next: nullable(Id),
    }),
  },
  foreseeNew: {
    does: 'Tell the new container that a backup would become',
    ...byStorage,
    params: Building,
    result: Foreseen,
  },
  foreseeSame: {
    does: 'Tell the changes of a container that gets the files of a backup',
    ...byStorage,
    params: strict({ backup_id: Id, id: Id }),
    result: Foreseen,
  },
  build: {
    does: 'Make a new container of a backup',
    ...byStorage,
    operation: true,
    audit: 'container_created',
    params: strict({ ...Building.properties, start: Type.Boolean() }),
    result: Container,
  },
  replace: {
    does: 'Give a container the files of a backup; the old one is put back when the new one does not start',
    ...byStorage,
    operation: true,
    audit: 'backup_restored',
    params: strict({
      id: Id,
      backup_id: Id,
      start: Type.Boolean(),
      timeout: Grace,
      watch: Type.Integer({ minimum: 0, maximum: 300 }),
    }),
    result: Container,
  },
})
