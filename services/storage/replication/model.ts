import { Type } from 'typebox'
import { Id } from '#shared/contracts/common.ts'
import { Point, Replica } from '#shared/contracts/storage/replicas.ts'
import { Snapshot } from '#shared/contracts/vm/snapshots.ts'
import { seal, unseal } from '#shared/config/secrets.ts'
import { collection } from '#shared/db/collection.ts'
import { ConflictError } from '#shared/errors.ts'

/** The VM as it was at a point: its hardware, for a VM that is made of the point. */
const Guest = Type.Object({
  hypervisor: Type.String(),
  vm: Type.Object({ description: Type.String(), tags: Type.Array(Type.String()) }),
  config: Snapshot.properties.config,
  disks: Type.Array(Type.Object({ bus: Type.String(), cache: Type.String() })),
})

const StoredPoint = Type.Object({ ...Point.properties, guest: Guest })

export const replicaRecords = collection(
  'replicas',
  Type.Object({
    ...Replica.properties,
    points: Type.Array(StoredPoint),
    is_whole: Type.Boolean({ description: 'Nothing was sent since its newest point was taken' }),
    snapshots: Type.Array(Type.String(), {
      description: 'Names of snapshots of the VM that are still to be deleted; their runs have ended',
    }),
  }),
  {
    kind: 'Replica',
    resource: {
      path: '/api/replication/replicas/{id}',
      sees: 'VmAudit on /api/replication/replicas/{id}',
    },
    indexes: [{ fields: { job_id: 1 } }, { fields: { vm_id: 1 } }],
  },
)
export type ReplicaRecord = Awaited<ReturnType<typeof replicaRecords.require>>
export type StoredPoint = ReplicaRecord['points'][number]

export const viewOf = ({ snapshots: _, is_whole: _w, ...replica }: ReplicaRecord): Replica => ({
  ...replica,
  points: replica.points.map(({ guest: _g, ...point }) => point),
})

/** The path of a replica: rights are on it, and its volumes belong to it. */
export const replicaPathOf = (id: string) => `/api/replication/replicas/${id}`

/** The newest point, or a named one. @throws ConflictError when there is none */
export function pointOf({ id, points }: ReplicaRecord, wanted?: string): StoredPoint {
  const found = wanted === undefined ? points.at(-1) : points.find((point) => point.id === wanted)
  if (found) return found
  throw new ConflictError(
    wanted === undefined ? `Replica '${id}' has no point yet` : `Replica '${id}' has no point '${wanted}'`,
  )
}

const purpose = 'replica'
/** A document of the store holds 16 MiB. */
const mostStateBytes = 8 * 2 ** 20

/** UEFI variables and TPM state of a point, encrypted. */
const guestStates = collection('replica-states', Type.Object({ id: Id, sealed: Type.String() }), {
  kind: 'State of a replica',
})

const stateId = (replica: string, point: string) => `${replica}.${point}`

export async function putGuestState(replica: string, point: string, state: string | null): Promise<void> {
  const id = stateId(replica, point)
  if (state === null || (await guestStates.get(id))) return
  if (state.length > mostStateBytes)
    throw new ConflictError(`The UEFI variables and TPM state of the virtual machine take ${state.length} bytes`)
  await guestStates.insert({ id, sealed: seal(state, purpose) })
}

export async function guestStateOf(replica: string, point: string): Promise<string | null> {
  const found = await guestStates.get(stateId(replica, point))
  return found && unseal(found.sealed, purpose)
}

export const forgetGuestState = (replica: string, point: string) =>
  guestStates.removeWhere({ _id: stateId(replica, point) })
