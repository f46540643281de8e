import { randomUUID } from 'node:crypto'
import { ConflictError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'
import type { ArchiveSource } from '../files.ts'
import { unlessGone } from './find.ts'

/** A backup that nobody removes goes by itself. Milliseconds. */
const backupLifeMs = 3_600_000
const waitSeconds = 10
/** Status codes of a background operation (LXD and Incus, "REST API": status codes). */
const success = 200
const firstFailure = 400

/** Reads an answer of the engine as it comes. */
function reading(open: (signal: AbortSignal) => AsyncIterable<Buffer>, onClose = () => {}): ArchiveSource {
  const abort = new AbortController()
  return {
    bytes: open(abort.signal),
    close: () => {
      abort.abort()
      onClose()
    },
    end: async () => undefined,
  }
}

/**
 * Makes a backup of an instance without its snapshots, and reads it. The engine needs the bytes of the instance once more
 * for so long.
 */
export async function exportInstance(api: Api, instancePath: string): Promise<ArchiveSource> {
  const name = `horcrux-${randomUUID().slice(0, 8)}`
  const backup = `${instancePath}/backups/${name}`
  const { operation } = await api.background(`${instancePath}/backups`, {
    name,
    expires_at: new Date(Date.now() + backupLifeMs).toISOString(),
    instance_only: true,
    optimized_storage: false,
    compression_algorithm: 'none',
  })
  async function* bytes(signal: AbortSignal): AsyncGenerator<Buffer> {
    for (;;) {
      signal.throwIfAborted()
      const { code, error } = await api.ended(operation, waitSeconds)
      if (code >= firstFailure) throw new ConflictError(`${api.name}: ${error}`)
      if (code === success) break
    }
    yield* (await api.open(`${backup}/export`, signal)).body
  }
  return reading(bytes, () => void unlessGone(api.send('DELETE', backup)).catch(() => undefined))
}

/** @throws ConflictError for an image of two files, which the engine gives as a form */
export async function exportImage(api: Api, imagePath: string): Promise<ArchiveSource> {
  const abort = new AbortController()
  const { type, body } = await api.open(`${imagePath}/export`, abort.signal)
  if (type.startsWith('multipart/')) {
    abort.abort()
    throw new ConflictError('The image is kept in two files, metadata and root file system: it is no single archive')
  }
  return { bytes: body, close: () => abort.abort(), end: async () => undefined }
}
