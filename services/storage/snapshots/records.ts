import { ConflictError } from '#shared/errors.ts'
import type { Family, Head, SnapshotDriver, VolumeSnapshot } from '../drivers/driver.ts'
import { type VolumeRecord, volumeRecords } from '../models.ts'
import { openPool, type OpenPool } from '../pools/open-pool.ts'
import { findVolume, volumeId } from '../volumes/records.ts'

export type Snapshot = NonNullable<VolumeRecord['snapshots']>[number]
export type Restore = NonNullable<VolumeRecord['restores']>[number]
export type Named = { id: string; volume: string }

/** The id under which a linked clone of a snapshot names it as its backing. */
export const backingOf = (volume: string, snapshot: string) => `${volume}@${snapshot}`

export const snapshotIn = ({ snapshots = [] }: VolumeRecord, id: string): Snapshot | undefined =>
  snapshots.find((each) => each.id === id)

/** A snapshot that guests write after, as its driver sees it, with its size. @throws ConflictError */
export async function takenOf(
  volume: VolumeRecord,
  id: string,
): Promise<{ taken: VolumeSnapshot; size_bytes: number }> {
  const found = snapshotIn(volume, id)
  const taken = (await familyOf(volume)).snapshots.find((each) => each.id === id)
  if (!found?.is_taken || !taken) throw new ConflictError(`Volume '${volume.id}' has no snapshot ${id} by now`)
  // The head after it was made as large as it was.
  return { taken, size_bytes: found.head.size_bytes }
}

export const restoreIn = ({ restores = [] }: VolumeRecord, id: string): Restore | undefined =>
  restores.find((each) => each.id === id)

/** @throws ConflictError for a storage pool whose kind takes no snapshots */
export function snapshotsIn({ pool, volumes: { snapshots } }: OpenPool): SnapshotDriver {
  if (snapshots) return snapshots
  throw new ConflictError(`Storage pool '${pool.id}' takes no snapshots`)
}

/** Volumes of one storage pool, which is open on a node. */
export type Group = { opened: OpenPool; driver: SnapshotDriver; records: VolumeRecord[] }

/** Groups volumes by their storage pools. @throws NotFoundError, ConflictError */
export async function groupsOf(disks: readonly Named[], node: string): Promise<Group[]> {
  const groups = new Map<string, Group>()
  for (const { id, volume } of disks) {
    let group = groups.get(id)
    if (!group) {
      const opened = await openPool(id, node)
      group = { opened, driver: snapshotsIn(opened), records: [] }
      groups.set(id, group)
    }
    group.records.push(await findVolume(id, volume))
  }
  return [...groups.values()]
}

/** Volumes of one storage pool that are worked on at a time: each takes a few programs on the node. */
const atATime = 4

/**
 * Does something to each volume, a few at the same time. When one fails, no further one is begun, and those under way have
 * ended before it is told: an undo meets none of them.
 * @returns the results in the order of the volumes
 */
export async function forEach<T>(
  records: readonly VolumeRecord[],
  work: (volume: VolumeRecord) => Promise<T>,
): Promise<T[]> {
  const results: T[] = []
  const errors: unknown[] = []
  let next = 0
  const turns = async () => {
    for (let index = next++; index < records.length && errors.length === 0; index = next++)
      await work(records[index]!).then(
        (result) => (results[index] = result),
        (error: unknown) => errors.push(error),
      )
  }
  await Promise.all(Array.from({ length: atATime }, turns))
  if (errors.length > 0) throw errors[0]
  return results
}

/** Does something to each group at the same time. */
export const inEach = async <T>(groups: Group[], work: (group: Group) => Promise<T[]>): Promise<T[]> =>
  (await Promise.all(groups.map(work))).flat()

/** A volume with all that hangs on it, as its driver sees it. */
export async function familyOf(volume: VolumeRecord): Promise<Family> {
  const { snapshots = [], restores = [] } = volume
  const names = snapshots.map(({ id }) => backingOf(volume.id, id))
  const clones = await volumeRecords.all({ backing: { $in: [volume.id, ...names] } })
  const isRead = (backing: string) => clones.some((clone) => clone.backing === backing)
  const known: VolumeSnapshot[] = snapshots.map(({ id, native }, index) => ({
    id,
    native,
    hasClones: isRead(names[index]!),
  }))
  const kept = restores.map(({ restored, former, is_in_place }) => (is_in_place ? former : restored).head)
  return {
    volume,
    hasClones: isRead(volume.id) || (volume.read_by ?? []).length > 0,
    snapshots: known,
    keptHeads: kept.filter((head) => head !== null),
  }
}

/** Changes the state that guests write. */
export const atHead = ({ head, format, size_bytes }: Head) => ({ head, format, size_bytes })
export const headOf = ({ head = null, format, size_bytes }: VolumeRecord): Head => ({ head, format, size_bytes })

/** Reads a volume that may be gone. */
export const knownVolume = ({ id, volume }: Named) => volumeRecords.get(volumeId(id, volume))
