import { imports } from '../words/late/import.ts'
import { addWords } from '../words/words.ts'

addWords(imports)
