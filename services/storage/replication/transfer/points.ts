import { call } from '#shared/bus/call.ts'
import { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import { ConflictError, unpackError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { waitForEnd } from '#shared/operation/wait.ts'
import { volumeRecords } from '../../models.ts'
import { backingOf, snapshotIn } from '../../snapshots/records.ts'
import { foreseeDeletion } from '../../snapshots/remove.ts'
import { drop, settle, take } from '../../snapshots/take.ts'
import { requireNoClones, volumeId } from '../../volumes/records.ts'
import { forgetGuestState, replicaPathOf } from '../model.ts'

export type Place = { replica: string; node: string; pool: string }

/** Takes snapshots of the volumes of a replica, which no guest writes, at one moment. Repeating it is fine. */
export async function takePoint({ replica, node, pool }: Place, volumes: string[], point: string): Promise<void> {
  const disks = volumes.map((volume) => ({ id: pool, volume }))
  const taking = { disks, node, owner: replicaPathOf(replica), snapshot: point }
  // Nothing switches to the new heads: no hypervisor has the volumes open.
  for (const moment of ['storage', 'hypervisor'] as const) await take({ ...taking, moment })
  await settle(taking)
}

/** Volumes of a replica that have a state of a point. */
async function havingPoint({ replica }: Place, point: string) {
  const own = await volumeRecords.all({ used_by: replicaPathOf(replica) })
  return own.filter((volume) => snapshotIn(volume, point) !== undefined)
}

/** Deletes the state of a point in one volume. @param attempt names the operation, so that a repeated call finds it */
async function removeState(place: Place, volume: string, point: string, attempt: string): Promise<void> {
  const { node, pool: id } = place
  const named = { disks: [{ id, volume }], node, snapshot: point }
  const record = await volumeRecords.get(volumeId(id, volume))
  if (!record) return
  const known = snapshotIn(record, point)
  if (!known) return
  if (!known.is_taken) return void (await drop(named))
  await requireNoClones(backingOf(record.id, point), 'lose the state of a point')
  const [foretold] = (await foreseeDeletion({ ...named, is_running: false })).data
  if (foretold!.obstacle !== null) throw new ConflictError(`Point '${point}' of ${record.id}: ${foretold!.obstacle}`)
  const { plan, bytes } = foretold!
  const operationId = idFrom(`${attempt}/${record.id}`)
  const deleting = { id, volume, node, snapshot: point, plan, bytes, merge_ms: null, is_merged: false }
  await call(volumeSnapshots, 'remove', deleting, { operationId })
  const { state, failure } = await waitForEnd(operationId)
  if (state !== 'succeeded' && failure) throw unpackError(failure)
}

/**
 * Deletes a point from all volumes of a replica; repeating it is fine.
 * @throws ConflictError while a virtual machine reads from it
 */
export async function removePoint(place: Place, point: string, attempt: string): Promise<void> {
  const volumes = await havingPoint(place, point)
  for (const { id } of volumes) await requireNoClones(backingOf(id, point), 'lose the state of a point')
  for (const { name } of volumes) await removeState(place, name, point, attempt)
  await forgetGuestState(place.replica, point)
}
