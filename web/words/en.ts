import { fields } from './en/fields.ts'
import { general } from './en/general.ts'
import { lists } from './en/lists.ts'
import { moves } from './en/moves.ts'
import { safety } from './en/safety.ts'
import { told } from './en/told.ts'
import type { backups } from './late/backups.ts'
import type { imports } from './late/import.ts'
import type { replication } from './late/replication.ts'
import type { storage } from './late/storage.ts'

/** The words of the page. Another language has the same ones: the compiler checks it. */
export const en = { ...general, ...fields, ...lists, ...moves, ...safety, ...told }
/** Words that the first load has, and those that a screen brings: see {@link addWords} in words.ts. */
export type Word =
  | keyof typeof en
  | keyof typeof storage
  | keyof typeof backups
  | keyof typeof imports
  | keyof typeof replication
