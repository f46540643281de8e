import type { Params, Result } from '#shared/contract/contract.ts'
import type { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Taken } from '../drivers/driver.ts'
import { type VolumeRecord, volumeRecords } from '../models.ts'
import { requireOwned, viewIn } from '../volumes/records.ts'
import { usageOf } from '../pools/identity.ts'
import { requireBeginnable, requireRoom } from '../pools/room.ts'
import { atHead, familyOf, type Group, groupsOf, headOf, inEach, type Snapshot, snapshotIn } from './records.ts'

type Contract = typeof volumeSnapshots
type Obstacle = Result<Contract, 'foresee'>['obstacles'][number]

type Seen = Result<Contract, 'foresee'>

/** All obstacles of the volumes of one storage pool, and the bytes that their snapshots will hold. */
async function foreseeIn({ opened, driver, records }: Group): Promise<Seen> {
  const { pool, host, config } = opened
  const against = (reason: string): Obstacle[] => records.map(({ id }) => ({ id, reason }))
  if (pool.state !== 'active') return { obstacles: against(`storage pool '${pool.id}' is not active`), held: [] }
  const [{ needed_bytes, obstacles, held }, usage] = await Promise.all([
    driver.foresee(host, config, records),
    usageOf(opened),
  ])
  const space = await requireRoom(opened, needed_bytes, usage).then(
    () => [],
    (error: unknown) => {
      if (error instanceof ConflictError) return against(error.message)
      throw error
    },
  )
  const own = obstacles.map(({ volume, reason }) => ({ id: `${pool.id}/${volume}`, reason }))
  return {
    obstacles: [...own, ...space],
    held: records.map(({ id, name }) => ({ id, bytes: held?.get(name) ?? 0 })),
  }
}

export async function foresee({ disks, node, owner }: Params<Contract, 'foresee'>): Promise<Seen> {
  await Promise.all(disks.map(({ id, volume }) => requireOwned(id, volume, owner)))
  const seen = await Promise.all((await groupsOf(disks, node)).map(foreseeIn))
  return { obstacles: seen.flatMap(({ obstacles }) => obstacles), held: seen.flatMap(({ held }) => held) }
}

/** The identity of a snapshot that a driver is about to take. */
const notYet = ''

/** Records a snapshot that a driver has taken, before guests write its head. */
const record = (volume: VolumeRecord, id: string, { native, head }: Taken) =>
  volumeRecords.change(volume.id, ({ snapshots = [] }) => ({
    set: { snapshots: [...snapshots.filter((each) => each.id !== id), { id, native, head, is_taken: false }] },
  }))

/** The image of a head that a driver has made. */
async function imageOf({ opened: { host, config, volumes } }: Group, { id, name }: VolumeRecord, { head }: Taken) {
  return { id, source: await volumes.sourceOn(host, config, { name, ...atHead(head) }), format: head.format }
}

const isTaken = (found: Snapshot | undefined): found is Snapshot => found !== undefined && found.native !== notYet

export async function heads({ disks, node, snapshot }: Params<Contract, 'heads'>) {
  let is_begun = false
  const made = await inEach(await groupsOf(disks, node), async (group) => {
    is_begun ||= group.records.some((volume) => snapshotIn(volume, snapshot) !== undefined)
    if (group.driver.moment !== 'hypervisor') return []
    const found = group.records.map(async (volume) => {
      const taken = snapshotIn(volume, snapshot)
      return isTaken(taken) ? [await imageOf(group, volume, taken)] : []
    })
    return (await Promise.all(found)).flat()
  })
  return { heads: made, is_begun }
}

export async function take({ disks, node, owner, snapshot, moment }: Params<Contract, 'take'>) {
  for (const { id, volume } of disks) await requireOwned(id, volume, owner)
  const groups = (await groupsOf(disks, node)).filter(({ driver }) => driver.moment === moment)
  const made = await inEach(groups, async (group) => {
    const { opened, driver, records } = group
    const known = records.map((volume) => snapshotIn(volume, snapshot)).filter(isTaken)
    const isDone = known.length === records.length
    if (!isDone) {
      // Before anything is recorded or made: a storage pool that is not there now could not be cleaned up either.
      await requireBeginnable(opened)
      await Promise.all(records.map((each) => record(each, snapshot, { native: notYet, head: headOf(each) })))
    }
    const taken: Taken[] = isDone ? known : await driver.take(opened.host, opened.config, records, snapshot)
    const recorded = records.map(async (volume, index) => {
      if (!isDone) await record(volume, snapshot, taken[index]!)
      return imageOf(group, volume, taken[index]!)
    })
    return Promise.all(recorded)
  })
  return { heads: made }
}

export async function settle({ disks, node, snapshot }: Params<Contract, 'settle'>): Promise<{ data: Volume[] }> {
  const data = await inEach(await groupsOf(disks, node), ({ opened, records }) =>
    Promise.all(
      records.map(async ({ id }) => {
        const settled = await volumeRecords.change(id, (volume) => {
          const taken = snapshotIn(volume, snapshot)
          if (!taken) throw new ConflictError(`Volume '${id}' has no snapshot ${snapshot} by now`)
          const { snapshots = [] } = volume
          const marked = snapshots.map((each) => (each.id === snapshot ? { ...each, is_taken: true } : each))
          return { set: { ...(!taken.is_taken && atHead(taken.head)), snapshots: marked } }
        })
        return viewIn(opened, settled)
      }),
    ),
  )
  return { data }
}

/** Undoes `take`: the head that guests write is still the one of before. */
export async function drop({ disks, node, snapshot }: Params<Contract, 'drop'>): Promise<null> {
  await inEach(await groupsOf(disks, node), async ({ opened, driver, records }) => {
    const { host, config } = opened
    for (const volume of records) {
      const taken = snapshotIn(volume, snapshot)
      if (!taken) continue
      // The driver may have taken it, and the process died before its identity was recorded.
      const [found] = isTaken(taken) ? [taken] : await driver.take(host, config, [volume], snapshot)
      if (taken.is_taken) throw new ConflictError(`Guests write after snapshot ${snapshot} of volume '${volume.id}'`)
      if (driver.moment === 'hypervisor') await driver.discard(host, config, volume, found!.head.head)
      else {
        const family = await familyOf(volume)
        const others = family.snapshots.filter(({ id }) => id !== snapshot)
        const whole = { ...family, snapshots: [...others, { id: snapshot, native: found!.native, hasClones: false }] }
        const { plan } = await driver.foreseeDeletion(host, config, whole, snapshot, true)
        const how = { plan, isMerged: false, signal: new AbortController().signal, onProgress: () => undefined }
        await driver.delete(host, config, whole, snapshot, how)
      }
      await volumeRecords.change(volume.id, ({ snapshots = [] }) => ({
        set: { snapshots: snapshots.filter(({ id }) => id !== snapshot) },
      }))
    }
    return []
  })
  return null
}
