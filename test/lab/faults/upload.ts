import { partBytes, uploads } from '#shared/contracts/storage/uploads.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { TestHorcrux } from '../product/horcrux.ts'

export const uploaded = { id: 'images', upload: '0198d1c5-7b1e-7000-8000-0000000000ae' }

/** A file that has arrived whole: a raw image of 4 MiB. */
export const withUpload = (horcrux: Pick<TestHorcrux, 'call'>): Promise<void> =>
  sendFile(horcrux, uploaded.upload, 'uploaded', Buffer.alloc(4 * 2 ** 20, 7))

/** Sends a file whole; one that an earlier scenario has left is sent anew. */
export async function sendFile(
  horcrux: Pick<TestHorcrux, 'call'>,
  upload: string,
  name: string,
  bytes: Buffer,
): Promise<void> {
  const of = { id: uploaded.id, upload }
  await horcrux.call(uploads, 'delete', of).catch(unlessMissing)
  await horcrux.call(uploads, 'create', { ...of, name, size: bytes.length })
  for (let offset = 0; offset < bytes.length; offset += partBytes) {
    const part = bytes.subarray(offset, offset + partBytes).toString('base64')
    await horcrux.call(uploads, 'write', { ...of, offset, writer: upload, part })
  }
}

function unlessMissing(error: unknown): void {
  if (!(error instanceof NotFoundError)) throw error
}
