import type { Result } from '#shared/contract/contract.ts'
import type { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import type { Objects } from '../store/objects.ts'
import { ConflictError } from '#shared/errors.ts'
import { DamagedPack } from '../store/pack.ts'
import type { ChunkList } from '../store/chunks.ts'

/** The guest of a backup that is being made. It is kept in the store: the journal has no secrets, and is small. */
export type Described = Result<typeof vmBackups, 'describe'>

const keyOf = (backup: string, part: string) => `parts/${backup}/${part}.json`
const write = (objects: Objects, backup: string, part: string, value: unknown) =>
  objects.put(keyOf(backup, part), Buffer.from(JSON.stringify(value)))

/** @throws ConflictError for a part that has changed in the store */
async function read(objects: Objects, backup: string, part: string): Promise<unknown> {
  try {
    return JSON.parse((await objects.get(keyOf(backup, part))).toString('utf8'))
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof DamagedPack)) throw error
    throw new ConflictError(`A part of backup '${backup}' has changed in its store: ${error.message}`, { cause: error })
  }
}

/** Results of steps of a backup, in its store until the manifest is written. */
export const partsOf = (objects: Objects, backup: string) => ({
  write: (part: string, value: unknown) => write(objects, backup, part, value),
  read: (part: string) => read(objects, backup, part),
  writeGuest: (guest: Described) => write(objects, backup, 'guest', guest),
  // It is what `writeGuest` has written.
  readGuest: async () => (await read(objects, backup, 'guest')) as Described,
  writeChunks: (disk: string, chunks: ChunkList) => write(objects, backup, `disk-${disk}`, chunks),
  readChunks: async (disk: string) => (await read(objects, backup, `disk-${disk}`)) as ChunkList,
  remove: async () => {
    for (const { key } of await objects.list(`parts/${backup}/`)) await objects.remove(key)
  },
})
