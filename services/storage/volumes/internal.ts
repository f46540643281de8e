import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { implement } from '#shared/service/implement.ts'
import { importFor, inspect } from '../images/import.ts'
import { inspectForeign } from '../images/pull.ts'
import { driverOf } from '../drivers/drivers.ts'
import { poolRecords, volumeRecords } from '../models.ts'
import { requireIdentity } from '../pools/identity.ts'
import { openActivePool, openPool } from '../pools/open-pool.ts'
import { configOf } from '../pools/pool-config.ts'
import { adoptVolume, forgetVolume } from './adopt.ts'
import { hold, readBases, release } from './bases.ts'
import { cloneFor, clonesOf, measure } from './clone.ts'
import { checkAcross } from './check-across.ts'
import { copyAcross } from './copy-across.ts'
import { commitCopyTargets, openCopyTargets } from './copy-targets.ts'
import { owned, removeUnfinished, unfinished } from './leftovers.ts'
import { locate } from './locate.ts'
import { compareFor, openMove, requireMovable } from './move.ts'
import { formatIn, growVolume, makeVolume, undoVolume } from './make.ts'
import { findVolume, requireNoClones, requireOwned, viewIn, viewOf, volumeId } from './records.ts'

export const volumeInternalService = implement(volumesInternal, {
  cloneFor,
  copyAcross,
  checkAcross,
  inspect,
  inspectForeign,
  importFor,
  openCopyTargets,
  commitCopyTargets,
  measure,
  clonesOf,
  requireMovable,
  openMove,
  compareFor,

  createFor: async ({ id, name, size, format: given, owner, node }) => {
    const format = formatIn(await openActivePool(id, node), given)
    return viewOf(await makeVolume({ pool: id, name, size_bytes: size, format }, owner, node), node)
  },

  owned,
  unfinished,
  removeUnfinished,

  secretOf: async ({ id }) => {
    const [pool] = await poolRecords.all({ 'config.libvirt_uuid': id })
    return (pool && driverOf(pool).secretOf?.(configOf(pool))) ?? null
  },

  locate,
  adopt: adoptVolume,
  forget: forgetVolume,
  hold,
  release,

  attach: async ({ id, volume, owner, node }) => {
    const free = await findVolume(id, volume)
    if (free.used_by === owner) return viewOf(free, node)
    const taken = await volumeRecords.updateWhere(
      { _id: free.id, used_by: null, deleting: null },
      { set: { used_by: owner } },
    )
    if (!taken)
      throw new ConflictError(
        `Volume '${volume}' ${free.used_by ? `belongs to ${free.used_by}` : 'has just been taken'}`,
      )
    await requireNoClones(taken.id, 'be written by a virtual machine').catch(async (error: unknown) => {
      await volumeRecords.updateWhere({ _id: taken.id, used_by: owner }, { set: { used_by: null } })
      throw error
    })
    const opened = await openPool(id, node)
    await opened.volumes.activate?.(opened.host, opened.config, taken)
    await readBases(opened, taken, node)
    return viewIn(opened, await findVolume(id, volume))
  },

  placeFor: async ({ id, volume, owner, node }) => {
    const record = await requireOwned(id, volume, owner)
    const opened = await openPool(id, node)
    if (opened.driver.activate) await requireIdentity(opened, { activationMs: 30_000 })
    await opened.volumes.activate?.(opened.host, opened.config, record)
    return viewIn(opened, record)
  },

  activateFor: async ({ owner, node }) => {
    for (const record of await volumeRecords.all({ used_by: owner })) {
      const opened = await openPool(record.pool, node)
      // Also mounts a storage pool that the node has lost since.
      if (opened.driver.activate) await requireIdentity(opened, { activationMs: 30_000 })
      await opened.volumes.activate?.(opened.host, opened.config, record)
    }
    return null
  },

  detach: async ({ id, volume, owner }) => {
    await volumeRecords.updateWhere({ _id: volumeId(id, volume), used_by: owner }, { set: { used_by: null } })
    return null
  },

  growFor: async ({ id, volume, size, owner }) => {
    const { size_bytes } = await requireOwned(id, volume, owner)
    if (size < size_bytes) throw new ConflictError(`Volume '${volume}' has ${size_bytes} bytes already`)
    return viewOf(await growVolume({ pool: id, name: volume, size_bytes: size }, owner))
  },

  deleteFor: async ({ id, volume, owner }) => {
    // Also one whose deletion was interrupted.
    await undoVolume({ pool: id, name: volume }, owner)
    return null
  },
})
