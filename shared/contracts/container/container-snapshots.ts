import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { ById, Done, Id, ListQuery, nullable, Page, record, strict, Time } from '#shared/contracts/common.ts'
import { Container } from '#shared/contracts/container/containers.ts'

/** The rule of every engine with snapshots. */
const SnapshotName = Type.String({
  examples: ['before-upgrade'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$',
  errorMessage: 'must be 1 to 63 letters, digits, _ . and -, and begin with a letter or digit',
})

export const ContainerSnapshot = record('name size_bytes created_at')({
  name: Type.String(),
  size_bytes: nullable(Type.Integer({ description: 'null where the engine does not tell it' })),
  created_at: Time,
})
export type ContainerSnapshot = Static<typeof ContainerSnapshot>

const one = strict({ id: Id, name: SnapshotName })
const change = { can: 'ContainerConfig on /api/containers/{id}', operation: true } as const

/** Snapshots of containers, where an engine has them. */
export const containerSnapshots = contract('container-snapshots', {
  list: {
    does: 'List the snapshots of a container',
    rest: 'GET /containers/{id}/snapshots',
    can: 'ContainerAudit on /api/containers/{id}',
    params: strict({ ...ById.properties, ...ListQuery('name').properties }),
    result: Page(ContainerSnapshot),
  },
  create: {
    ...change,
    does: 'Make a snapshot of a container',
    rest: 'POST /containers/{id}/snapshots',
    audit: 'snapshot_created',
    params: one,
    result: ContainerSnapshot,
  },
  restore: {
    ...change,
    does: 'Bring a container back to a snapshot',
    rest: 'POST /containers/{id}/snapshots/{name}/restore',
    audit: 'snapshot_restored',
    params: one,
    result: Container,
  },
  delete: {
    ...change,
    does: 'Delete a snapshot of a container',
    rest: 'DELETE /containers/{id}/snapshots/{name}',
    audit: 'snapshot_deleted',
    params: one,
    result: Done,
  },
})
