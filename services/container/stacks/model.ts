import { type Static, Type } from 'typebox'
import { Id, strict, Time, Version } from '#shared/contracts/common.ts'
import { Runtime } from '#shared/contracts/container/parts.ts'
import { seal, unseal } from '#shared/config/secrets.ts'
import { collection } from '#shared/db/collection.ts'
import { idFrom } from '#shared/ids.ts'
import type { Project } from './project/schema.ts'

const purpose = 'stack'

/** A file with its project, encrypted: its environments may hold secrets. */
export type Sealed = { config: string; project: string }

export const sealProject = (config: string, project: Project): Sealed => ({
  config: seal(config, purpose),
  project: seal(JSON.stringify(project), purpose),
})
export const configIn = ({ config }: Pick<Sealed, 'config'>) => unseal(config, purpose)
// It was sealed here.
export const projectIn = ({ project }: Pick<Sealed, 'project'>) => JSON.parse(unseal(project, purpose)) as Project

const StoredStack = strict({
  id: Id,
  name: Type.String(),
  node: Id,
  runtime: Runtime,
  config: Type.String(),
  project: Type.String(),
  services: Type.Array(strict({ name: Type.String(), scale: Type.Integer() })),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type StackRecord = Static<typeof StoredStack>

/** Projects that Horcrux has brought up. */
export const stackRecords = collection('stacks', StoredStack, {
  kind: 'Stack',
  resource: { path: '/api/stacks/{id}', sees: 'ContainerAudit on /api/stacks/{id}' },
  indexes: [{ fields: { node: 1, runtime: 1, name: 1 }, unique: true }],
})

/** The id of a project of an engine. */
export const stackIdOf = (node: string, runtime: string, name: string) => idFrom(`stack ${node}/${runtime}/${name}`)
export const stackPathOf = (id: string) => `/api/stacks/${id}`

export const scalesOf = ({ services }: Project) =>
  Object.entries(services).map(([name, { scale = 1 }]) => ({ name, scale }))
