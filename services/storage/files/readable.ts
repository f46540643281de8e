import type { FoundEntry } from './entries.ts'
import type { Scanned } from './volumes.ts'

/** The files of a backup: a guest that has its disks, or its archives. */
export type Session = Scanned & {
  /** Entries of a folder, by the bytes of their names. @throws NotFoundError, ConflictError for a path that is no folder */
  list: (volume: string, names: readonly Buffer[]) => Promise<FoundEntry[]>
  /** The entry of a path that is not the root. @throws NotFoundError, ConflictError */
  entry: (volume: string, names: readonly Buffer[]) => Promise<FoundEntry>
  /** A tar archive of a file, a link, or a folder with all in it. Links are in it as links. */
  archive: (volume: string, names: readonly Buffer[]) => AsyncGenerator<Buffer, void>
  /** The bytes of a file. */
  content: (volume: string, names: readonly Buffer[]) => AsyncGenerator<Buffer, void>
  close: () => Promise<void>
}
