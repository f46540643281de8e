import type { Params } from '#shared/contract/contract.ts'
import type { volumeSnapshots } from '#shared/contracts/storage/volume-snapshots.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { volumeRecords } from '../models.ts'
import { requireBeginnable } from '../pools/room.ts'
import { viewIn } from '../volumes/records.ts'
import { atHead, familyOf, forEach, groupsOf, headOf, inEach, restoreIn } from './records.ts'

type Contract = typeof volumeSnapshots

/** Makes the heads of a restore aside, and records them before guests write them. */
export async function open({ disks, node, snapshot, head }: Params<Contract, 'open'>): Promise<null> {
  await inEach(await groupsOf(disks, node), async ({ opened, driver, records }) => {
    const { host, config } = opened
    if (!records.every((volume) => restoreIn(volume, head))) await requireBeginnable(opened)
    await forEach(records, async (volume) => {
      if (restoreIn(volume, head)) return
      const from = (await familyOf(volume)).snapshots.find(({ id }) => id === snapshot)
      if (!from) throw notFound('Snapshot', `${snapshot} of volume ${volume.id}`)
      const restored = await driver.open(host, config, volume, from, head)
      await volumeRecords.change(volume.id, (now) => ({
        set: {
          restores: [...(now.restores ?? []), { id: head, restored, former: headOf(now), is_in_place: false }],
        },
      }))
    })
    return []
  })
  return null
}

export async function swap({ disks, node, head, to }: Params<Contract, 'swap'>): Promise<{ data: Volume[] }> {
  const wanted = to === 'restored'
  const data = await inEach(await groupsOf(disks, node), ({ opened, driver, records }) => {
    const { host, config } = opened
    return forEach(records, async (volume) => {
      const restore = restoreIn(volume, head)
      // An undo that is repeated may find that the heads were never opened.
      if (!restore || restore.is_in_place === wanted) {
        if (!restore && wanted) throw new ConflictError(`Volume '${volume.id}' has no head ${head} by now`)
        return viewIn(opened, volume)
      }
      await driver.swap(host, config, volume, restore[to])
      const swapped = await volumeRecords.change(volume.id, ({ restores = [] }) => ({
        set: {
          ...atHead(restore[to]),
          restores: restores.map((each) => (each.id === head ? { ...each, is_in_place: wanted } : each)),
        },
      }))
      return viewIn(opened, swapped)
    })
  })
  return { data }
}

/** Deletes the heads that are aside; a restore cannot be undone, or done again, from then on. */
export async function discard({ disks, node, head }: Params<Contract, 'discard'>): Promise<null> {
  await inEach(await groupsOf(disks, node), async ({ opened, driver, records }) => {
    const { host, config } = opened
    await forEach(records, async (volume) => {
      const restore = restoreIn(volume, head)
      if (!restore) return
      const aside = restore.is_in_place ? restore.former : restore.restored
      await driver.discard(host, config, volume, aside.head)
      await volumeRecords.change(volume.id, ({ restores = [] }) => ({
        set: { restores: restores.filter(({ id }) => id !== head) },
      }))
    })
    return []
  })
  return null
}
