import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, ListQuery, nullable, Page, Path, strict, Time, Version } from '#shared/contracts/common.ts'
import {
  Command,
  ContainerNetwork,
  ContainerStatus,
  Environment,
  HealthCheck,
  Image,
  Labels,
  limits,
  Mount,
  NewMount,
  Port,
  newRuntime,
  RestartPolicy,
  Runtime,
} from '#shared/contracts/container/parts.ts'

/** The rule of each engine is checked beside this one; names of discovered containers may be odder. */
const Name = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$',
  errorMessage: 'must be 1 to 63 letters, digits, _ . and -, and begin with a letter or digit',
})

export const Container = strict({
  id: Id,
  name: Type.String({ description: "The engine's name of it" }),
  runtime: Runtime,
  node: Id,
  engine_id: Type.String({ description: "The engine's full id of it" }),
  managed: Type.Boolean({
    description: 'False for a container that was discovered and is not adopted: it is only shown',
  }),
  image: nullable(Type.String()),
  rootfs: nullable(Type.String({ description: 'Tar archive of the node that it was made from' })),
  command: Type.Array(Type.String()),
  env: Type.Record(Type.String(), Type.String()),
  labels: Type.Record(Type.String(), Type.String()),
  ...limits,
  mounts: Type.Array(Mount),
  ports: Type.Array(Port),
  networks: Type.Array(ContainerNetwork),
  ip: nullable(Type.String({ description: 'Its first address' })),
  pid: nullable(Type.Integer({ description: 'Process id of its first process on the node' })),
  restart_policy: RestartPolicy,
  health_check: nullable(HealthCheck),
  health: nullable(Type.String({ description: "The engine's word: starting, healthy or unhealthy" })),
  privileged: Type.Boolean(),
  stack: nullable(Type.String({ description: 'The Compose project that it belongs to' })),
  status: ContainerStatus,
  status_reason: nullable(Type.String()),
  exit_code: nullable(Type.Integer({ description: 'Of its last run, when it is stopped' })),
  oom_kills: Type.Integer({
    minimum: 0,
    description: 'Processes of its present run that were killed for lack of memory',
  }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Container = Static<typeof Container>

const power = {
  operation: true,
  can: 'ContainerPowerMgmt on /api/containers/{id}',
  result: Container,
} as const

const Grace = Type.Integer({
  minimum: 0,
  maximum: 600,
  default: 10,
  description: 'Seconds until a container that has not ended by itself is killed',
})

export const containers = contract('containers', {
  list: {
    does: 'List containers of all engines',
    rest: 'GET /containers',
    can: 'signed-in',
    itemAccess: 'ContainerAudit on /api/containers/{id}',
    params: ListQuery('name', 'status', 'node', 'runtime', 'image', 'stack', 'managed'),
    result: Page(Container),
  },
  get: {
    does: 'Get a container',
    rest: 'GET /containers/{id}',
    can: 'ContainerAudit on /api/containers/{id}',
    params: ById,
    result: Container,
  },
  status: {
    does: 'Read the status of a container from its engine',
    rest: 'GET /containers/{id}/status',
    can: 'ContainerAudit on /api/containers/{id}',
    params: ById,
    result: strict({ status: ContainerStatus, status_reason: nullable(Type.String()), timestamp: Time }),
  },
  create: {
    does: 'Create a container',
    rest: 'POST /containers',
    can: 'ContainerAllocate on /api/containers/{id}',
    canInside: 'ContainerAllocate on /api/resource-pools/{resource_pool}',
    operation: true,
    audit: 'container_created',
    params: strict({
      id: Type.Optional(Id),
      name: Name,
      runtime: newRuntime,
      node: Type.String({ ...Id, default: 'local' }),
      image: Type.Optional(Image),
      rootfs: Type.Optional(Type.String({ ...Path, description: 'Tar archive of the node with a root file system' })),
      command: Type.Optional(Command),
      env: Type.Optional(Environment),
      labels: Type.Optional(Labels),
      memory: Type.Optional(limits.memory),
      cpus: Type.Optional(limits.cpus),
      pids: Type.Optional(limits.pids),
      mounts: Type.Optional(Type.Array(NewMount, { maxItems: 50 })),
      ports: Type.Optional(Type.Array(Port, { maxItems: 100 })),
      restart_policy: Type.Optional(RestartPolicy),
      health_check: Type.Optional(HealthCheck),
      resource_pool: Type.Optional(Id),
      start: Type.Boolean({ default: false }),
    }),
    result: Container,
  },
  start: {
    ...power,
    does: 'Start a container',
    rest: 'POST /containers/{id}/start',
    audit: 'container_started',
    params: ById,
  },
  stop: {
    ...power,
    does: 'Stop a container, also a paused one',
    rest: 'POST /containers/{id}/stop',
    audit: 'container_stopped',
    params: strict({ id: Id, timeout: Grace }),
  },
  restart: {
    ...power,
    does: 'Stop a container and start it again',
    rest: 'POST /containers/{id}/restart',
    audit: 'container_restarted',
    params: strict({ id: Id, timeout: Grace }),
  },
  pause: {
    ...power,
    does: 'Freeze the processes of a container',
    rest: 'POST /containers/{id}/pause',
    audit: 'container_config_changed',
    params: ById,
  },
  resume: {
    ...power,
    does: 'Let a paused container run on',
    rest: 'POST /containers/{id}/resume',
    audit: 'container_config_changed',
    params: ById,
  },
  adopt: {
    does: 'Take a discovered container into management, as it is and without a restart',
    rest: 'POST /containers/{id}/adopt',
    can: 'ContainerAllocate on /api/containers/{id}',
    audit: 'container_created',
    params: ById,
    result: Container,
  },
  delete: {
    does: 'Delete a stopped container',
    rest: 'DELETE /containers/{id}',
    can: 'ContainerAllocate on /api/containers/{id}',
    operation: true,
    audit: 'container_deleted',
    params: strict({
      id: Id,
      force: Type.Boolean({ default: false, description: 'Kill it first when it runs' }),
      volumes: Type.Boolean({ default: false, description: 'With its anonymous volumes' }),
    }),
    result: Done,
  },
})
