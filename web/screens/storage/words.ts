import { storage } from '../../words/late/storage.ts'
import { addWords } from '../../words/words.ts'

addWords(storage)
