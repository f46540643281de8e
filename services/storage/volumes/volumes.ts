import { volumes } from '#shared/contracts/storage/volumes.ts'
import { alreadyExists, ConflictError } from '#shared/errors.ts'
import { operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { adoptFile, forgetFile, locate } from './adopt.ts'
import { poolRecords, volumeRecords } from '../models.ts'
import { clone, cloneFor, clonesOf, measure, takeBack } from './clone.ts'
import { importFor, inspect } from '../images/import.ts'
import { placeFor, receiveFor } from './receive.ts'
import {
  deleteBytes,
  findVolume,
  growTo,
  makeVolume,
  markDeleting,
  notOurs,
  pathOf,
  placeActive,
  requireFree,
  requireNoClones,
  requireOwned,
  unmarkDeleting,
  volumeId,
} from './volume.ts'

export const volumeService = implement(volumes, {
  list: async ({ id, ...query }) => {
    await poolRecords.require(id)
    return volumeRecords.list(query, { all: true, item: () => true }, { pool: id, deleting: null })
  },
  get: async ({ id, volume }) => findVolume(id, volume),

  create: operation({
    accept: async ({ id, name, size, format }, { hold }) => {
      await hold(pathOf(id, name))
      const { pool, host, driver } = await placeActive(id)
      if (await volumeRecords.get(volumeId(id, name))) throw alreadyExists(name, { field: 'name' })
      const path = driver.pathOf(pool, { name, format })
      if (await host.stat(path)) throw notOurs(path)
      return { pool: id, name, size_bytes: size, format }
    },
    run: (op, spec) => op.step('creating', () => makeVolume(spec, null), { undo: () => takeBack(spec, null) }),
  }),

  resize: operation({
    accept: async ({ id, volume, size }, { hold }) => {
      await hold(pathOf(id, volume))
      const { size_bytes } = await requireFree(id, volume)
      await requireNoClones(volumeId(id, volume), 'be resized')
      if (size < size_bytes)
        throw new ConflictError(`Volume '${volume}' has ${size_bytes} bytes; making it smaller would cut off data`)
      return { pool: id, name: volume, size_bytes: size }
    },
    run: async (op, wanted) => {
      // A machine may have taken it since it was asked for: then nothing has changed yet.
      await op.step('checking', async () => void (await requireFree(wanted.pool, wanted.name)))
      await op.commit()
      return op.step('resizing', () => growTo(wanted, null))
    },
  }),

  delete: operation({
    accept: async ({ id, volume }, { hold }) => {
      await hold(pathOf(id, volume))
      await requireFree(id, volume)
      await requireNoClones(volumeId(id, volume), 'be deleted')
      return { pool: id, name: volume }
    },
    run: async (op, { pool, name }) => {
      await op.step('taking away', async () => void (await markDeleting(pool, name, null)), {
        undo: () => unmarkDeleting(pool, name),
      })
      await op.commit()
      await op.step('deleting', () => deleteBytes(pool, name, null))
      return null
    },
  }),

  clone,
  cloneFor,
  inspect,
  importFor,
  receiveFor,
  placeFor,
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
