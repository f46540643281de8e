import { Type } from 'typebox'
import { Id } from '#shared/contracts/common.ts'
import { Upload } from '#shared/contracts/storage/uploads.ts'
import { collection } from '#shared/db/collection.ts'
import { notFound } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'

export const uploadRecords = collection(
  'uploads',
  Type.Object({
    ...Upload.properties,
    node: Id,
    writer: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    writer_until: Type.Optional(Type.String({ description: 'A writer that is silent for longer has ended' })),
  }),
  { kind: 'Upload', indexes: [{ fields: { pool: 1 } }, { fields: { expires_at: 1 } }] },
)
export type UploadRecord = Awaited<ReturnType<typeof uploadRecords.require>>

export const viewOf = ({ node: _, writer: _w, writer_until: _u, ...kept }: UploadRecord): Upload => kept

/** @throws NotFoundError also for an upload into another storage pool */
export async function requireUpload(pool: string, id: string): Promise<UploadRecord> {
  const record = await uploadRecords.get(id)
  if (record?.pool !== pool) throw notFound('Upload', id)
  return record
}

/** The file that holds the received bytes, in Horcrux's own folder of the node. */
export async function fileOf({ id, node }: Pick<UploadRecord, 'id' | 'node'>) {
  const { host, node: reached } = await reach(node)
  const folder = `${reached.state_dir}/uploads`
  return { host, folder, path: `${folder}/${id}` }
}

/** Removes an upload, bytes first. */
export async function removeUpload(record: UploadRecord): Promise<void> {
  const { host, path } = await fileOf(record)
  await host.remove(path)
  await uploadRecords.removeWhere({ _id: record.id })
}
