import { uploads } from '#shared/contracts/storage/uploads.ts'
import { alreadyExists, ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { log } from '#shared/runtime/log.ts'
import { implement } from '#shared/service/implement.ts'
import { volumeRecords } from '../models.ts'
import { openActivePool } from '../pools/open-pool.ts'
import { requireRoom } from '../pools/room.ts'
import { copiesIn } from '../volumes/copy.ts'
import { formatIn } from '../volumes/make.ts'
import { requireFreePlace, volumeId } from '../volumes/records.ts'
import { complete } from './complete.ts'
import { fileOf, removeUpload, requireUpload, uploadRecords, viewOf } from './model.ts'
import { expiry, write } from './write.ts'

const mostUploads = 100

export const uploadService = implement(uploads, {
  list: async ({ id, ...query }) => {
    const page = await uploadRecords.list(query, { all: true, item: () => true }, { pool: id })
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id, upload }) => viewOf(await requireUpload(id, upload)),

  create: async ({ id: pool, upload: id = newId(), name, size: size_bytes, volume_format, ...given }) => {
    const { sha256 = null, format = null, disk = null } = given
    const opened = await openActivePool(pool)
    copiesIn(opened)
    const spec = { pool, name, format: formatIn(opened, volume_format), size_bytes }
    if (await volumeRecords.get(volumeId(pool, name))) throw alreadyExists(name, { field: 'name' })
    await requireFreePlace(opened, spec)
    await requireRoom(opened, 0)
    if ((await uploadRecords.all({ pool })).length >= mostUploads)
      throw new ConflictError(`Storage pool '${pool}' has ${mostUploads} uploads already; complete or cancel some`)
    const { host, folder, path } = await fileOf({ id, node: opened.node })
    await host.mkdir(folder, { mode: 0o700 })
    const { freeBytes } = await host.space(folder)
    if (freeBytes < size_bytes)
      throw new ConflictError(`${folder} on ${host.describe()} has ${freeBytes} bytes left; the file has ${size_bytes}`)
    const at = now()
    const record = await uploadRecords.insert({
      id,
      pool,
      name,
      volume_format: spec.format,
      format,
      disk,
      size_bytes,
      sha256,
      received_bytes: 0,
      state: 'receiving',
      node: opened.node,
      expires_at: expiry(),
      created_at: at,
      updated_at: at,
    })
    await host.createExclusive(path, '', { mode: 0o600 }).catch(async (error: unknown) => {
      await uploadRecords.remove(record)
      throw error
    })
    return viewOf(record)
  },

  write,
  complete,

  delete: async ({ id, upload }) => {
    const record = await requireUpload(id, upload)
    if (record.state === 'completing')
      throw new ConflictError(`Upload '${upload}' is becoming a volume; cancel that operation`)
    await removeUpload(record)
    return null
  },
})

const sweepEveryMs = 10 * 60 * 1000

/** Removes uploads that got no part until their expiry. Those of a node that does not answer are kept for the next time. */
export async function sweepUploads(): Promise<void> {
  for (const record of await uploadRecords.all({ state: 'receiving', expires_at: { $lt: now() } }))
    await removeUpload(record).catch((error: unknown) =>
      log('uploads').warn({ err: error, upload: record.id }, 'an expired upload could not be removed'),
    )
}

export function sweepRegularly(): () => void {
  const timer = setInterval(() => {
    sweepUploads().catch((error: unknown) => log('uploads').warn({ err: error }, 'expired uploads were not removed'))
  }, sweepEveryMs)
  timer.unref()
  return () => clearInterval(timer)
}
