import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const folder = join(import.meta.dirname, '../../../web/words')

/** The words of all files of folders, each as often as a file defines it. */
async function wordsIn(...folders: string[]): Promise<string[]> {
  const paths = folders.flatMap((name) => readdirSync(join(folder, name)).map((file) => join(folder, name, file)))
  const modules = (await Promise.all(paths.map((path) => import(path)))) as Record<string, object>[]
  return modules.flatMap((module) => Object.values(module)).flatMap((words) => Object.keys(words))
}

test.each([['en', 'late'], ['de']])(
  'no word of %s is defined twice: the later one would replace the other',
  async (...names) => {
    const words = await wordsIn(...names)
    expect(words.length).toBeGreaterThan(500)
    expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([])
  },
)
