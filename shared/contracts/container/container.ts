import { type Static, Type } from 'typebox'
import { Id, nullable, record, Time, Version } from '#shared/contracts/common.ts'
import {
  ContainerNetwork,
  ContainerStatus,
  HealthCheck,
  limits,
  Mount,
  Port,
  RestartPolicy,
  Runtime,
} from '#shared/contracts/container/parts.ts'

export const Container = record('name status runtime image ip node id')({
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
  oom_killed: Type.Boolean({
    description: 'Its last run has ended because its first process was killed for lack of memory',
  }),
  oom_kills: Type.Integer({
    minimum: 0,
    description: 'Processes of its present run that were killed for lack of memory',
  }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Container = Static<typeof Container>
