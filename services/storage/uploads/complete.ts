import type { Params, Result } from '#shared/contract/contract.ts'
import { type FileFormat, uploadPath, type uploads } from '#shared/contracts/storage/uploads.ts'
import { ConflictError, invalid, ValidationError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { formatOfFile, type Part, pathOfPart, readImage } from '../images/complete-image.ts'
import { digestOf } from '../images/digest.ts'
import { diskInOva } from '../images/ova.ts'
import { openActivePool } from '../pools/open-pool.ts'
import { copyFull } from '../volumes/copy.ts'
import { finish, register, undoVolume } from '../volumes/make.ts'
import { apiPathOf, viewIn } from '../volumes/records.ts'
import { fileOf, removeUpload, requireUpload, type UploadRecord, uploadRecords } from './model.ts'
import { expiry } from './write.ts'

type Completed = Result<typeof uploads, 'complete'>
type Checked = { format: FileFormat; image: Exclude<FileFormat, 'ova'>; size_bytes: number; part: Part | null }

/** Refusals of a file are violations of the request that has sent it. */
export async function asViolation<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    throw new ValidationError(
      [{ field: 'upload', code: 'image', message: error.message.replaceAll(path, 'the file') }],
      { cause: error },
    )
  }
}

/** The format in the bytes. @throws ValidationError when it is another than the given one, or none that is read */
async function formatIn({ format: given }: UploadRecord, host: Host, path: string): Promise<FileFormat> {
  const format = await asViolation(path, formatOfFile(host, path))
  if (given !== null && format !== given)
    throw invalid('format', `the file is ${format} by its bytes, not ${given}`, 'mismatch')
  return format
}

/** Compares length and digest, then checks the image. Nothing but this file is read. @throws ValidationError */
async function check(op: Op, record: UploadRecord): Promise<Checked> {
  const { host, path } = await fileOf(record)
  const { sizeBytes = 0 } = (await host.stat(path)) ?? {}
  if (sizeBytes !== record.size_bytes)
    throw invalid('size', `${sizeBytes} bytes arrived instead of ${record.size_bytes}`, 'mismatch')
  if (record.sha256 !== null) {
    const sha256 = await digestOf(host, path, op.signal)
    if (sha256 !== record.sha256) throw invalid('sha256', `the file has the digest ${sha256}`, 'mismatch')
  }
  const format = await formatIn(record, host, path)
  const wanted = record.disk ?? undefined
  const part = format === 'ova' ? await asViolation(path, diskInOva(host, path, { wanted, signal: op.signal })) : null
  const { format: image, virtualSize } = await asViolation(path, readImage(host, path, part ?? undefined))
  return { format, image, size_bytes: virtualSize, part }
}

/** Copies the image into the volume. The digest is computed meanwhile, unless it was compared before. */
async function copyIn(op: Op, record: UploadRecord, { format, image, size_bytes, part }: Checked): Promise<Completed> {
  const { host, path } = await fileOf(record)
  const { pool, name, volume_format, node } = record
  const opened = await openActivePool(pool, node)
  const digest = record.sha256 === null ? digestOf(host, path, op.signal) : Promise.resolve(record.sha256)
  // Its failure is reported below; until then it must not be an unhandled one.
  digest.catch(() => undefined)
  const registered = await register(opened, { pool, name, format: volume_format, size_bytes }, { owner: null })
  const tool = part ? { path: pathOfPart(path, part) } : undefined
  const original = { source: { type: 'file' as const, path }, format: image, tool }
  const isMade = await copyFull(op, original, opened, registered)
  const sha256 = await digest
  return { volume: await viewIn(opened, await finish(opened, registered.record, isMade)), format, sha256 }
}

export const setState = (id: string, state: UploadRecord['state']) =>
  uploadRecords.updateWhere({ _id: id }, { set: { state, writer: null, expires_at: expiry() } })

export const complete = operation({
  accept: async ({ id, upload }: Params<typeof uploads, 'complete'>, { hold }) => {
    const record = await requireUpload(id, upload)
    await hold(uploadPath(id, upload), apiPathOf(id, record.name))
    const { received_bytes, size_bytes, node } = record
    if (received_bytes !== size_bytes)
      throw new ConflictError(`Upload '${upload}' has ${received_bytes} of ${size_bytes} bytes`, {
        details: { received_bytes, size_bytes },
      })
    await openActivePool(id, node)
    const { host, path } = await fileOf(record)
    await formatIn(record, host, path)
    return { id, upload }
  },
  run: async (op, { id, upload }): Promise<Completed> => {
    const record = await op.step(
      'closing',
      async () => {
        await setState(upload, 'completing')
        return requireUpload(id, upload)
      },
      { undo: async () => void (await setState(upload, 'receiving')) },
    )
    const checked = await op.step('checking', () => check(op, record))
    const made = await op.step('copying', () => copyIn(op, record, checked), {
      undo: () => undoVolume({ pool: id, name: record.name }, null),
    })
    await op.commit()
    await op.step('removing the upload', () => removeUpload(record))
    return made
  },
})
