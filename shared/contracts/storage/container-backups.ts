import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, nullable, oneOf, strict } from '#shared/contracts/common.ts'
import { Container } from '#shared/contracts/container/container.ts'
import { Command, Environment, Grace, Runtime } from '#shared/contracts/container/parts.ts'
import { LeftOut, SavedPlace } from '#shared/contracts/container/saved-container.ts'
import { Backup, Bandwidth, Difference } from '#shared/contracts/storage/backups.ts'

const Pause = Type.Boolean({
  default: false,
  description: 'Freeze its processes while its files are read, so that all files are of one moment',
})

export const ContainerRestorePlan = strict({
  to: oneOf('new', 'same'),
  container_id: Id,
  name: Type.String(),
  node: Id,
  runtime: Runtime,
  ports: Container.properties.ports,
  places: Type.Array(SavedPlace, {
    description: 'Parts of its files that are restored; a volume becomes a new one, and the old one stays',
  }),
  left_out: Type.Array(LeftOut, {
    description: 'Folders whose content the backup does not have, or that are not restored',
  }),
  missing_env: Type.Array(Type.String(), {
    description: 'Variables whose values are not in a backup store that is not encrypted: give them in `env`',
  }),
  data_bytes: Type.Integer(),
  differences: Type.Array(Difference),
  plan_id: Type.String(),
})
export type ContainerRestorePlan = Static<typeof ContainerRestorePlan>

/** Backups of containers. `backups` lists, verifies, protects and deletes them beside those of virtual machines. */
export const containerBackups = contract('container-backups', {
  create: {
    does: 'Back up a container: its file system, its named volumes where its engine gives them, and its settings; takes DatastoreAllocate on the storage pool as well',
    rest: 'POST /container-backups',
    can: 'VmBackup on /api/containers/{container_id}',
    operation: true,
    audit: 'backup_created',
    params: strict({
      id: Type.Optional(Id),
      container_id: Id,
      pool: Type.String({ ...Id, description: 'Storage pool whose backup store gets it; one that holds objects' }),
      description: Type.String({ maxLength: 8192, default: '' }),
      protected: Type.Boolean({ default: false }),
      pause: Pause,
      bandwidth_mib: Type.Optional(Bandwidth),
    }),
    result: Backup,
  },
  createFor: {
    does: 'Back up a container for a job',
    can: 'service',
    callers: ['storage'],
    operation: true,
    audit: 'backup_created',
    params: strict({ id: Id, container_id: Id, pool: Id, job: Id, bandwidth_mib: nullable(Bandwidth) }),
    result: Backup,
  },
  restore: {
    does: 'Restore a backup of a container to a new one, or to its own; takes ContainerAllocate on that one as well',
    rest: 'POST /container-backups/{id}/restore',
    can: 'VmBackup on /api/backups/{id}',
    operation: true,
    audit: 'backup_restored',
    plan: ContainerRestorePlan,
    params: strict({
      id: Id,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
      to: Type.Enum(['new', 'same'], {
        default: 'new',
        description:
          'same: the files of its own container, which keeps its settings; the old one is kept until the new one has started',
      }),
      container_id: Type.Optional(Type.String({ ...Id, description: 'Id of the new container' })),
      name: Type.Optional(Type.String({ maxLength: 63, description: 'Name of the new container' })),
      node: Type.Optional(Type.String({ ...Id, description: 'Node of the new container' })),
      runtime: Type.Optional(
        Type.Enum([...Runtime.enum], { description: 'Engine of the new container; that of the backup if not given' }),
      ),
      command: Type.Optional(Command),
      env: Type.Optional(Environment),
      bind_mounts: Type.Boolean({
        default: true,
        description: 'Mount the same folders of the node in the new container',
      }),
      resource_pool: Type.Optional(Id),
      start: Type.Boolean({ default: false, description: 'Start it; its own container runs again if it ran' }),
      timeout: Grace,
      watch: Type.Integer({
        minimum: 0,
        maximum: 300,
        default: 3,
        'x-unit': 'seconds',
        description: 'Seconds that its own container must stay up with the files of the backup',
      }),
    }),
    result: Container,
  },
})
