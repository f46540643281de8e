import type { Container } from '#shared/contracts/container/containers.ts'
import type { HealthCheck, NewMount } from '#shared/contracts/container/parts.ts'

/** A container, as its engine finds it. */
export type Ref = Pick<Container, 'id' | 'name' | 'node' | 'engine_id'>

/** All that a new container is made of. Host paths are real paths that are allowed. */
export type Definition = Pick<
  Container,
  | 'id'
  | 'name'
  | 'node'
  | 'image'
  | 'rootfs'
  | 'env'
  | 'labels'
  | 'memory'
  | 'cpus'
  | 'pids'
  | 'ports'
  | 'restart_policy'
  | 'privileged'
> & {
  /** Empty: the one of the image. */
  command: string[]
  mounts: NewMount[]
  health_check: HealthCheck | null
}

/** The label that names the record of a container that Horcrux has made. */
export const idLabel = 'horcrux.id'
