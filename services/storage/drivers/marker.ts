import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/** The file in the folder of a storage pool that has its identity. */
export const markerName = '.horcrux-pool'

const pattern = /^horcrux storage pool ([0-9a-f-]{36})\n$/

export const contentOfMarker = (identity: string): string => `horcrux storage pool ${identity}\n`

/** The identity in the content of a marker; null for other content. */
export const identityIn = (content: string): string | null => pattern.exec(content)?.[1] ?? null

/**
 * The identity of the storage pool in a folder; null when the folder has no marker, such as the empty folder below a file
 * system that is not mounted.
 * @throws NotFoundError when there is no folder
 */
export async function readMarker(host: Host, folder: string): Promise<string | null> {
  try {
    return identityIn((await host.readFile(join(folder, markerName))).toString('latin1'))
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    if (await host.stat(folder)) return null
    throw new NotFoundError(`Folder '${folder}' not found on ${host.describe()}`, {
      details: { kind: 'File', id: folder },
      cause: error,
    })
  }
}

/** Gives a folder a marker, or reads the one that is there. @returns the identity. @throws ConflictError for a damaged one */
export async function createMarker(host: Host, folder: string): Promise<string> {
  const path = join(folder, markerName)
  const identity = randomUUID()
  try {
    await host.createExclusive(path, contentOfMarker(identity), { mode: 0o644 })
    return identity
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    const there = await readMarker(host, folder)
    if (there !== null) return there
    throw new ConflictError(`${path} on ${host.describe()} is no marker of a storage pool`, { cause: error })
  }
}
