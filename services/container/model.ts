import { type Static, Type } from 'typebox'
import { Container } from '#shared/contracts/container/containers.ts'
import { collection } from '#shared/db/collection.ts'
import { convertDocuments } from '#shared/db/convert-documents.ts'

const StoredContainer = Type.Object({
  ...Container.properties,
  trusted: Type.Boolean({ description: 'A user with ContainerPrivileged has accepted its ways to the node' }),
})

export const containerRecords = collection('containers', StoredContainer, {
  kind: 'Container',
  // Of versions that did not tell it.
  migrate: convertDocuments({ where: { oom_killed: { $exists: false } }, convert: () => ({ oom_killed: false }) }),
  resource: { path: '/api/containers/{id}', sees: 'ContainerAudit on /api/containers/{id}' },
  indexes: [
    { fields: { node: 1, runtime: 1, engine_id: 1 }, unique: true },
    { fields: { name: 1 } },
    { fields: { status: 1 } },
    { fields: { stack: 1 } },
  ],
})
export type ContainerRecord = Container & Pick<Static<typeof StoredContainer>, 'trusted'>

/** A record as callers see it. */
export const viewOf = ({ trusted: _, ...container }: ContainerRecord): Container => container

export const apiPathOf = (id: string) => `/api/containers/${id}`
/** The lock on a name that is being taken. */
export const nameKeyOf = ({ node, runtime, name }: Pick<Container, 'node' | 'runtime' | 'name'>) =>
  `container name ${node}/${runtime}/${name}`
