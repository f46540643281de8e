import type { Params, Result } from '#shared/contract/contract.ts'
import type { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import type { Deleted } from '../drivers/driver.ts'
import { volumeRecords } from '../models.ts'
import { apiPathOf, requireNoClones, requireOwned, viewIn } from '../volumes/records.ts'
import { usageOf } from '../pools/identity.ts'
import { openPool, type OpenPool } from '../pools/open-pool.ts'
import { noteRate, secondsFor } from './merge-rates.ts'
import { atHead, backingOf, familyOf, groupsOf, inEach, knownVolume, snapshotIn, snapshotsIn } from './records.ts'

type Contract = typeof volumeSnapshots

/** The reason against copying so many bytes before others are given back; null for none. */
async function lackOf(opened: OpenPool, bytes: number): Promise<string | null> {
  if (bytes === 0) return null
  const { available_bytes } = await usageOf(opened)
  if (available_bytes === null || available_bytes >= bytes) return null
  return `storage pool '${opened.pool.id}' has ${available_bytes} bytes left, and ${bytes} are copied before any are given back: make room in it first`
}

export async function foreseeDeletion({
  disks,
  node,
  snapshot,
  is_running,
}: Params<Contract, 'foreseeDeletion'>): Promise<Result<Contract, 'foreseeDeletion'>> {
  const data = await inEach(await groupsOf(disks, node), ({ opened, driver, records }) =>
    Promise.all(
      records.map(async (volume) => {
        const { host, config } = opened
        const family = await familyOf(volume)
        const foreseen = await driver.foreseeDeletion(host, config, family, snapshot, is_running)
        const { bytes } = foreseen
        const [seconds, lack] = await Promise.all([secondsFor(opened.pool.id, bytes), lackOf(opened, bytes)])
        return { id: volume.id, ...foreseen, obstacle: foreseen.obstacle ?? lack, seconds }
      }),
    ),
  )
  return { data }
}

type Wanted = Params<Contract, 'remove'>

/** Deletes the bytes, after which the records follow. @returns the identities of all that is left; null when it is gone */
async function removeBytes(op: Op, { id, volume: name, node, snapshot, plan, is_merged, bytes, merge_ms }: Wanted) {
  const opened = await openPool(id, node)
  const volume = await knownVolume({ id, volume: name })
  if (!volume || !snapshotIn(volume, snapshot)) return null
  const how = {
    plan,
    isMerged: is_merged,
    signal: op.signal,
    onProgress: (done: number) => op.progress(done, null, 'bytes'),
  }
  const family = await familyOf(volume)
  const begunMs = performance.now()
  const deleted = await snapshotsIn(opened).delete(opened.host, opened.config, family, snapshot, how)
  await noteRate(id, bytes, is_merged && merge_ms !== null ? merge_ms : performance.now() - begunMs)
  return deleted
}

/** Records the identities that are left. */
const recordLeft = ({ id, volume, snapshot }: Wanted, { snapshots: left, head }: Deleted) =>
  volumeRecords.change(`${id}/${volume}`, ({ snapshots = [] }) => ({
    set: {
      ...atHead(head),
      snapshots: snapshots
        .filter((each) => each.id !== snapshot)
        .map((each) => ({ ...each, native: left.find((one) => one.id === each.id)?.native ?? each.native })),
    },
  }))

export const remove = operation({
  accept: async (wanted: Wanted, { hold }) => {
    await hold(apiPathOf(wanted.id, wanted.volume))
    return wanted
  },
  run: async (op, wanted: Wanted): Promise<Volume | null> => {
    const { id, volume: name, node } = wanted
    // A merge that was begun has changed the snapshot that goes: there is no way back.
    await op.commit()
    const deleted = await op.step('deleting', () => removeBytes(op, wanted))
    if (deleted) {
      await op.step('recording', async () => void (await recordLeft(wanted, deleted)))
      await op.step('discarding', async () => {
        if (deleted.leftover === null) return
        const opened = await openPool(id, node)
        const volume = await knownVolume({ id, volume: name })
        if (volume) await snapshotsIn(opened).discard(opened.host, opened.config, volume, deleted.leftover)
      })
    }
    const volume = await knownVolume({ id, volume: name })
    return volume && viewIn(await openPool(id, node), volume)
  },
})

export async function usage({ disks, node }: Params<Contract, 'usage'>): Promise<Result<Contract, 'usage'>> {
  const data = await inEach(await groupsOf(disks, node), async ({ opened: { host, config }, driver, records }) => {
    const measured = records.map(async (volume) => {
      const found = await driver.usage(host, config, await familyOf(volume))
      return found.map(({ id: snapshot, held_bytes, freed_bytes }) => {
        return { id: volume.id, snapshot, held_bytes, freed_bytes }
      })
    })
    return (await Promise.all(measured)).flat()
  })
  return { data }
}

/** Deletes everything of volumes but their records, which go next. */
export async function purge({ disks, node, owner }: Params<Contract, 'purge'>): Promise<null> {
  for (const named of disks) {
    const there = await knownVolume(named)
    if (!there || there.used_by !== owner) continue
    const volume = await requireOwned(named.id, named.volume, owner)
    const { snapshots = [], restores = [] } = volume
    if (snapshots.length + restores.length === 0) continue
    for (const { id } of snapshots) await requireNoClones(backingOf(volume.id, id), 'be deleted')
    await requireNoClones(volume.id, 'be deleted')
    const opened = await openPool(named.id, node)
    await snapshotsIn(opened).deleteAll(opened.host, opened.config, await familyOf(volume))
    await volumeRecords.updateWhere({ _id: volume.id }, { set: { snapshots: undefined, restores: undefined } })
  }
  return null
}
