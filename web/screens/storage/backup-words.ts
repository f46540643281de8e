import { backups } from '../../words/late/backups.ts'
import { addWords } from '../../words/words.ts'

addWords(backups)
