import { Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, SearchQuery, nullable, SearchPage, Path, strict, Time } from '#shared/contracts/common.ts'
import { containerPowerStates } from '#shared/contracts/power-states.ts'
import { ContainerSample, WatchedContainerPage } from '#shared/contracts/metrics/monitoring.ts'
import {
  Command,
  ContainerStatus,
  Environment,
  ExecResult,
  Gap,
  HealthCheck,
  Image,
  Labels,
  limits,
  LogLine,
  LogTime,
  NewMount,
  Port,
  newRuntime,
  RestartPolicy,
  User,
} from '#shared/contracts/container/parts.ts'
import { Container } from '#shared/contracts/container/container.ts'
import { Image as MadeImage } from '#shared/contracts/container/images.ts'

export { Container }

/** The rule of each engine is checked beside this one; names of discovered containers may be odder. */
const Name = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$',
  errorMessage: 'must be 1 to 63 letters, digits, _ . and -, and begin with a letter or digit',
})

const power = {
  operation: true,
  can: 'ContainerPowerMgmt on /api/containers/{id}',
  result: Container,
} as const
/** A container that is only discovered is left alone. */
const managed = { managed: [true] }
const powerIn = (verb: keyof typeof containerPowerStates) => ({
  ...power,
  possible: { status: containerPowerStates[verb], ...managed },
})

const Grace = Type.Integer({
  minimum: 0,
  maximum: 600,
  default: 10,
  'x-unit': 'seconds',
  description: 'Seconds until a container that has not ended by itself is killed',
})

export const containers = contract('containers', {
  list: {
    does: 'List containers of all engines',
    rest: 'GET /containers',
    can: 'signed-in',
    itemAccess: 'ContainerAudit on /api/containers/{id}',
    params: SearchQuery(Container, ['name', 'status', 'node', 'runtime', 'image', 'stack', 'managed']),
    result: SearchPage(Container),
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
  logs: {
    does: 'Read the log of a container, by lines; the cursor goes on where an answer ended',
    rest: 'GET /containers/{id}/logs',
    can: 'ContainerAudit on /api/containers/{id}',
    params: strict({
      id: Id,
      tail: Type.Integer({
        minimum: 1,
        maximum: 10_000,
        default: 100,
        description: 'Lines; the last ones without a cursor',
      }),
      since: Type.Optional(LogTime),
      until: Type.Optional(LogTime),
      cursor: Type.Optional(Type.String({ maxLength: 64, description: 'next_cursor of the answer before' })),
      wait: Type.Integer({
        minimum: 0,
        maximum: 3,
        default: 0,
        'x-unit': 'seconds',
        description: 'Seconds to wait for a line',
      }),
    }),
    result: strict({ lines: Type.Array(LogLine), next_cursor: Type.String(), gap: Gap }),
  },
  watched: {
    does: 'List the containers for the service that measures them, a page at a time',
    can: 'service',
    callers: ['metrics'],
    params: strict({ after: Type.Optional(Id) }),
    result: WatchedContainerPage,
  },
  measure: {
    does: 'Measure the running containers of a node, a page at a time',
    can: 'service',
    callers: ['metrics'],
    params: strict({ node: Id, after: Type.Optional(Id) }),
    result: strict({ data: Type.Array(ContainerSample), next: nullable(Type.String()) }),
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
      privileged: Type.Boolean({
        default: false,
        description: 'With the rights of the node: requires ContainerPrivileged',
      }),
      resource_pool: Type.Optional(Id),
      start: Type.Boolean({ default: false }),
    }),
    result: Container,
  },
  update: {
    does: 'Change the limits of a container, also while it runs, or its name',
    rest: 'PATCH /containers/{id}',
    can: 'ContainerConfig on /api/containers/{id}',
    audit: 'container_config_changed',
    possible: managed,
    params: strict({
      id: Id,
      name: Type.Optional(Name),
      memory: Type.Optional(limits.memory),
      cpus: Type.Optional(limits.cpus),
      pids: Type.Optional(limits.pids),
    }),
    result: Container,
  },
  start: {
    ...powerIn('start'),
    does: 'Start a container',
    rest: 'POST /containers/{id}/start',
    audit: 'container_started',
    params: ById,
  },
  stop: {
    ...powerIn('stop'),
    does: 'Stop a container, also a paused one',
    rest: 'POST /containers/{id}/stop',
    audit: 'container_stopped',
    params: strict({ id: Id, timeout: Grace }),
  },
  restart: {
    ...powerIn('restart'),
    does: 'Stop a container and start it again',
    rest: 'POST /containers/{id}/restart',
    audit: 'container_restarted',
    params: strict({ id: Id, timeout: Grace }),
  },
  pause: {
    ...powerIn('pause'),
    does: 'Freeze the processes of a container',
    rest: 'POST /containers/{id}/pause',
    audit: 'container_config_changed',
    params: ById,
  },
  resume: {
    ...powerIn('resume'),
    does: 'Let a paused container run on',
    rest: 'POST /containers/{id}/resume',
    audit: 'container_config_changed',
    params: ById,
  },
  exec: {
    does: 'Run a command in a running container, and capture its output',
    rest: 'POST /containers/{id}/exec',
    can: 'ContainerExec on /api/containers/{id}',
    operation: true,
    audit: 'container_exec',
    possible: { status: ['running'], ...managed },
    params: strict({
      id: Id,
      command: Command,
      env: Type.Optional(Environment),
      user: Type.Optional(User),
      timeout: Type.Integer({
        minimum: 1,
        maximum: 3600,
        default: 60,
        'x-unit': 'seconds',
        description: 'Seconds; then it is killed',
      }),
    }),
    result: ExecResult,
  },
  adopt: {
    does: 'Take a discovered container into management, as it is and without a restart',
    rest: 'POST /containers/{id}/adopt',
    can: 'ContainerAllocate on /api/containers/{id}',
    audit: 'container_created',
    possible: { managed: [false] },
    params: ById,
    result: Container,
  },
  recreate: {
    does: 'Make a container again with another image or other settings; the old one is put back when the new one fails',
    rest: 'POST /containers/{id}/recreate',
    can: 'ContainerAllocate on /api/containers/{id}',
    operation: true,
    audit: 'container_config_changed',
    possible: { status: ['running', 'stopped'], ...managed },
    params: strict({
      id: Id,
      image: Type.Optional(Image),
      command: Type.Optional(Command),
      env: Type.Optional(Environment),
      labels: Type.Optional(Labels),
      mounts: Type.Optional(Type.Array(NewMount, { maxItems: 50 })),
      ports: Type.Optional(Type.Array(Port, { maxItems: 100 })),
      restart_policy: Type.Optional(RestartPolicy),
      health_check: Type.Optional(HealthCheck),
      timeout: Grace,
      watch: Type.Integer({
        minimum: 0,
        maximum: 300,
        default: 3,
        'x-unit': 'seconds',
        description: 'Seconds that the new container must stay up, if the old one ran',
      }),
    }),
    result: Container,
  },
  clone: {
    does: 'Copy a container, or a snapshot of it, to a new one on the same engine',
    rest: 'POST /containers/{id}/clone',
    can: 'ContainerAllocate on /api/containers/{target_id}',
    canInside: 'ContainerAllocate on /api/resource-pools/{resource_pool}',
    operation: true,
    audit: 'container_created',
    params: strict({
      id: Id,
      target_id: Type.Optional(Id),
      target_name: Name,
      snapshot: Type.Optional(Type.String({ minLength: 1, maxLength: 63, description: 'Name of a snapshot of it' })),
      resource_pool: Type.Optional(Id),
    }),
    result: Container,
  },
  commit: {
    does: 'Make an image of a container',
    rest: 'POST /containers/{id}/commit',
    can: 'ContainerConfig on /api/containers/{id}',
    operation: true,
    audit: 'container_config_changed',
    possible: managed,
    params: strict({ id: Id, image: Type.String({ ...Image, description: 'Name of the new image' }) }),
    result: MadeImage,
  },
  delete: {
    does: 'Delete a stopped container',
    rest: 'DELETE /containers/{id}',
    can: 'ContainerAllocate on /api/containers/{id}',
    operation: true,
    audit: 'container_deleted',
    possible: managed,
    params: strict({
      id: Id,
      force: Type.Boolean({ default: false, description: 'Kill it first when it runs' }),
      volumes: Type.Boolean({ default: false, description: 'With its anonymous volumes' }),
    }),
    result: Done,
  },
})
