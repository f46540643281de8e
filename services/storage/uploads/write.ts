import type { Params } from '#shared/contract/contract.ts'
import type { Upload, uploads } from '#shared/contracts/storage/uploads.ts'
import { ConflictError, invalid, notFound } from '#shared/errors.ts'
import { CommandError } from '#shared/nodes/host/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import { fileOf, requireUpload, type UploadRecord, uploadRecords, viewOf } from './model.ts'

/** A writer that was not heard for so long has ended. Milliseconds; longer than any call. */
const writerMs = 30_000
/** An upload that gets no part for so long is removed. Milliseconds. */
const keptMs = 24 * 60 * 60 * 1000

const inMs = (ms: number) => new Date(Date.now() + ms).toISOString()
export const expiry = (): string => inMs(keptMs)

/** Lets one request at a time send parts. @throws ConflictError while another one does */
async function claim(record: UploadRecord, writer: string): Promise<UploadRecord> {
  if (record.state !== 'receiving') throw new ConflictError(`Upload '${record.id}' is complete`)
  if (record.writer === writer) return record
  const { writer_until } = record
  if (record.writer && writer_until && Date.parse(writer_until) > Date.now())
    throw new ConflictError(`Upload '${record.id}' is being sent by another request`, {
      details: { until: writer_until },
    })
  const change = { set: { writer, writer_until: inMs(writerMs) } }
  const claimed = await uploadRecords.updateWhere({ _id: record.id, version: record.version }, change)
  if (claimed) return claimed
  throw new ConflictError(`Upload '${record.id}' has just been claimed by another request`)
}

/**
 * Writes a part. Repeated with the same offset, it changes nothing.
 * @throws ConflictError, with `received_bytes`, when the part does not begin where the last one has ended
 */
export async function write(params: Params<typeof uploads, 'write'>): Promise<Upload> {
  const { id, upload, offset, writer, part } = params
  const record = await claim(await requireUpload(id, upload), writer)
  const bytes = Buffer.from(part, 'base64')
  const { received_bytes, size_bytes } = record
  if (bytes.length === 0) {
    const ended = await uploadRecords.updateWhere({ _id: upload, writer }, { set: { writer: null } })
    return viewOf(ended ?? record)
  }
  const end = offset + bytes.length
  if (end <= received_bytes) return viewOf(record)
  if (offset !== received_bytes)
    throw new ConflictError(`Upload '${upload}' goes on at byte ${received_bytes}, not ${offset}`, {
      details: { received_bytes },
    })
  if (end > size_bytes) throw invalid('size', `the file has ${size_bytes} bytes; more were sent`, 'too_large')
  await writeBytes(record, bytes)
  const set = { received_bytes: end, writer_until: inMs(writerMs), expires_at: expiry() }
  const written = await uploadRecords.updateWhere({ _id: upload, writer, received_bytes }, { set })
  if (!written) throw new ConflictError(`Upload '${upload}' was taken over by another request`)
  return viewOf(written)
}

async function writeBytes(record: UploadRecord, bytes: Buffer): Promise<void> {
  const { host, path } = await fileOf(record)
  await requireCurrent()
  const place = ['oflag=seek_bytes', `seek=${record.received_bytes}`, 'conv=notrunc,nocreat']
  const words = [`of=${path}`, ...place, 'bs=1M', 'iflag=fullblock', 'status=none']
  await host.runChecked('dd', words, { input: bytes }).catch((error: unknown) => {
    if (error instanceof CommandError && /No such file/.test(error.stderr)) throw notFound('Upload', record.id)
    throw error
  })
}
