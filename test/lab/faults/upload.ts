import { partBytes, uploads } from '#shared/contracts/storage/uploads.ts'
import { NotFoundError } from '#shared/errors.ts'
import type { TestHorcrux } from '../product/horcrux.ts'

export const uploaded = { id: 'images', upload: '0198d1c5-7b1e-7000-8000-0000000000ae' }

/** A file that has arrived whole: a raw image of 4 MiB. */
export async function withUpload(horcrux: Pick<TestHorcrux, 'call'>): Promise<void> {
  const bytes = Buffer.alloc(4 * 2 ** 20, 7)
  await horcrux.call(uploads, 'delete', uploaded).catch(unlessMissing)
  await horcrux.call(uploads, 'create', { ...uploaded, name: 'uploaded', size: bytes.length })
  const writer = uploaded.upload
  for (let offset = 0; offset < bytes.length; offset += partBytes) {
    const part = bytes.subarray(offset, offset + partBytes).toString('base64')
    await horcrux.call(uploads, 'write', { ...uploaded, offset, writer, part })
  }
}

function unlessMissing(error: unknown): void {
  if (!(error instanceof NotFoundError)) throw error
}
