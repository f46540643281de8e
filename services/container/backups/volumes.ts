import { pipeline } from 'node:stream/promises'
import { createHash } from 'node:crypto'
import type { Definition, Ref } from '../drivers/driver.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { ContainerRecord } from '../model.ts'
import { archiveOf, type SavedFiles } from './source.ts'

const ownSuffix = /-r[0-9a-f]{8}$/
const isAnonymous = /^[0-9a-f]{64}$/

/** The name of the volume that a restored one becomes. @param seed a container or a restore, so that no other has it */
export function newVolumeName(volume: string, seed: string): string {
  const base = isAnonymous.test(volume) ? 'volume' : volume.replace(ownSuffix, '').slice(0, 100)
  return `${base}-r${createHash('sha256').update(`${volume} ${seed}`).digest('hex').slice(0, 8)}`
}

/** Writes the content of a saved volume into the one that a container, which was just made, has at the same place. */
export async function fillVolume(
  ref: Ref & Pick<ContainerRecord, 'runtime'>,
  { backup, saved, place, target }: { backup: string; saved: SavedFiles; place: string; target: string },
  signal: AbortSignal,
): Promise<void> {
  const sink = await driverOf(ref).files.write(ref, target)
  try {
    await pipeline(archiveOf(backup, saved, place, signal).source, sink.input, { signal })
    await sink.end()
  } finally {
    sink.close()
  }
}

/** Fills the volumes of a container, each as a step. */
export const volumePlaces = (saved: SavedFiles, { mounts }: Pick<Definition, 'mounts'>) =>
  saved.places.filter(({ volume, target }) => volume !== null && mounts.some((mount) => mount.target === target))
