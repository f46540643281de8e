import { backups } from '../../words/late/backups.ts'
import { replication } from '../../words/late/replication.ts'
import { addWords } from '../../words/words.ts'

addWords(backups)
addWords(replication)
