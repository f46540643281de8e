import { volumes } from '#shared/contracts/storage/volumes.ts'
import { viewsOf } from '#shared/db/cache/views.ts'
import { everything } from '#shared/db/page.ts'
import { alreadyExists, ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { operation } from '#shared/operation/kinds.ts'
import { implement } from '#shared/service/implement.ts'
import { volumeRecords } from '../models.ts'
import { requireIdentity } from '../pools/identity.ts'
import { figuresAt } from '../pools/measure.ts'
import { openActivePool, openPool } from '../pools/open-pool.ts'
import { clone } from './clone.ts'
import { move } from './move-volume.ts'
import { goneOwnerOf } from './owners.ts'
import { scan } from './scan.ts'
import { deleteVolume, formatIn, growVolume, makeVolume, markDeleting, undoVolume, unmarkDeleting } from './make.ts'
import {
  apiPathOf,
  findVolume,
  requireFreePlace,
  requireNoClones,
  requireUnused,
  viewIn,
  viewOf,
  volumeId,
} from './records.ts'

/** The records as they are: the view of a volume takes its storage pool, which is opened once for each page. */
const views = viewsOf(volumeRecords, (record) => record)

export const volumeService = implement(volumes, {
  list: async ({ id, ...query }) => {
    const opened = await openPool(id)
    const page = await views.list(query, everything, { pool: id, deleting: null })
    return { ...page, data: await Promise.all(page.data.map((record) => viewIn(opened, record))) }
  },
  get: async ({ id, volume }) => viewOf(await findVolume(id, volume)),
  usage: async ({ id, volume }) => {
    const record = await findVolume(id, volume)
    const { host, config, volumes } = await openPool(id)
    return figuresAt(await volumes.usage(host, config, record), now())
  },

  create: operation({
    accept: async ({ id, name, size, format: given }, { hold }) => {
      await hold(apiPathOf(id, name))
      const opened = await openActivePool(id)
      const spec = { pool: id, name, size_bytes: size, format: formatIn(opened, given) }
      const there = await volumeRecords.get(volumeId(id, name))
      if (there && !there.deleting) throw alreadyExists(name, { field: 'name' })
      await requireFreePlace(opened, spec)
      return spec
    },
    run: (op, spec) =>
      op.step('creating', async () => viewOf(await makeVolume(spec, null)), { undo: () => undoVolume(spec, null) }),
  }),

  resize: operation({
    accept: async ({ id, volume, size }, { hold }) => {
      await hold(apiPathOf(id, volume))
      const { size_bytes } = await requireUnused(id, volume)
      await requireNoClones(volumeId(id, volume), 'be resized')
      if (size < size_bytes)
        throw new ConflictError(`Volume '${volume}' has ${size_bytes} bytes; making it smaller would cut off data`)
      return { pool: id, name: volume, size_bytes: size }
    },
    run: async (op, wanted) => {
      // A VM may have taken it since the request: then nothing has changed yet.
      await op.step('checking', async () => void (await requireUnused(wanted.pool, wanted.name)))
      await op.commit()
      return op.step('resizing', async () => viewOf(await growVolume(wanted, null)))
    },
  }),

  delete: operation({
    accept: async ({ id, volume }, { hold, reserve }) => {
      await hold(apiPathOf(id, volume))
      const owner = await goneOwnerOf(await findVolume(id, volume), reserve)
      await requireIdentity(await openPool(id))
      if (owner === null) await requireUnused(id, volume)
      await requireNoClones(volumeId(id, volume), 'be deleted')
      return { pool: id, name: volume, owner }
    },
    run: async (op, { owner = null, ...key }) => {
      await op.step('taking away', async () => void (await markDeleting(key, owner)), {
        undo: () => unmarkDeleting(key),
      })
      await op.commit()
      await op.step('deleting', () => deleteVolume(key, owner))
      return null
    },
  }),

  clone,
  move,
  scan,
})
