import { type Static, Type } from 'typebox'
import { Id, nullable, strict } from '#shared/contracts/common.ts'
import { Container } from '#shared/contracts/container/container.ts'

/** Settings of an image, which a container that is made of its bare file system would lack (OCI image specification: config). */
export const ImageSettings = strict({
  entrypoint: Type.Array(Type.String()),
  command: Type.Array(Type.String()),
  env: Type.Record(Type.String(), Type.String()),
  working_dir: nullable(Type.String()),
  user: nullable(Type.String()),
  stop_signal: nullable(Type.String()),
})
export type ImageSettings = Static<typeof ImageSettings>

const { properties: fields } = Container

/** A container as a backup has it, beside its files. */
export const SavedContainer = strict({
  id: Id,
  name: Type.String(),
  node: Id,
  runtime: fields.runtime,
  image: fields.image,
  settings: Type.Union([ImageSettings, Type.Null()], {
    description: 'Of the image that it was made of; null on an engine whose images have none',
  }),
  command: fields.command,
  env: Type.Record(Type.String(), Type.String(), { description: 'Variables that are not those of the image' }),
  env_names: Type.Array(Type.String(), { description: 'Names of all of them; `env` has those whose values are saved' }),
  labels: fields.labels,
  memory: fields.memory,
  cpus: fields.cpus,
  pids: fields.pids,
  mounts: fields.mounts,
  ports: fields.ports,
  networks: Type.Array(Type.String()),
  restart_policy: fields.restart_policy,
  health_check: fields.health_check,
  privileged: fields.privileged,
  status: fields.status,
})
export type SavedContainer = Static<typeof SavedContainer>

/** A part of the files of a container: its root file system, or the content of a volume. */
export const SavedPlace = strict({
  id: Type.String({ pattern: '^(root|volume-\\d{1,3})$' }),
  target: Type.String({ description: 'Its folder in the container' }),
  volume: Type.Union([Type.String(), Type.Null()], { description: 'Name of the volume; null: the root file system' }),
})
export type SavedPlace = Static<typeof SavedPlace>

/** A folder of a container whose content a backup does not have. */
export const LeftOut = strict({ target: Type.String(), reason: Type.String() })
export type LeftOut = Static<typeof LeftOut>
