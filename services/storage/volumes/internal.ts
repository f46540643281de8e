import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { ConflictError } from '#shared/errors.ts'
import { implement } from '#shared/service/implement.ts'
import { importFor, inspect } from '../images/import.ts'
import { volumeRecords } from '../models.ts'
import { adoptFile, forgetFile, locate } from './adopt.ts'
import { cloneFor, clonesOf, measure } from './clone.ts'
import { commitCopyTargets, openCopyTargets } from './receive.ts'
import { deleteBytes, findVolume, growTo, makeVolume, requireNoClones, requireOwned, volumeId } from './volume.ts'

export const volumeInternalService = implement(volumesInternal, {
  cloneFor,
  inspect,
  importFor,
  openCopyTargets,
  commitCopyTargets,
  measure,
  clonesOf,

  createFor: ({ id, name, size, format, owner }) => makeVolume({ pool: id, name, size_bytes: size, format }, owner),

  locate,
  adopt: adoptFile,
  forget: forgetFile,

  attach: async ({ id, volume, owner }) => {
    const free = await findVolume(id, volume)
    if (free.used_by === owner) return free
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
    return taken
  },

  detach: async ({ id, volume, owner }) => {
    await volumeRecords.updateWhere({ _id: volumeId(id, volume), used_by: owner }, { set: { used_by: null } })
    return null
  },

  growFor: async ({ id, volume, size, owner }) => {
    const { size_bytes } = await requireOwned(id, volume, owner)
    if (size < size_bytes) throw new ConflictError(`Volume '${volume}' has ${size_bytes} bytes already`)
    return growTo({ pool: id, name: volume, size_bytes: size }, owner)
  },

  deleteFor: async ({ id, volume, owner }) => {
    // One whose deletion was cut off halfway is still there to be deleted.
    const record = await volumeRecords.get(volumeId(id, volume))
    if (record?.used_by === owner) await deleteBytes(id, volume, owner)
    return null
  },
})
