import { backups } from './de/backups.ts'
import { fields } from './de/fields.ts'
import { general } from './de/general.ts'
import { imports } from './de/import.ts'
import { lists } from './de/lists.ts'
import { moves } from './de/moves.ts'
import { replication } from './de/replication.ts'
import { safety } from './de/safety.ts'
import { storage } from './de/storage.ts'
import { told } from './de/told.ts'
import type { Word } from './en.ts'

export const de: Record<Word, string> = {
  ...general,
  ...imports,
  ...fields,
  ...lists,
  ...moves,
  ...safety,
  ...storage,
  ...told,
  ...backups,
  ...replication,
}
