import { volumes } from '#shared/contracts/storage/volumes.ts'
import { alreadyExists, ConflictError } from '#shared/errors.ts'
import { operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { poolRecords, volumeRecords } from '../models.ts'
import { clone, takeBack } from './clone.ts'
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
})
