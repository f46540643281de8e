import { readFileSync } from 'node:fs'
import { exitCodes, usageError } from '../errors.ts'
import { write } from '../output/print.ts'

/** `horcrux version`. */
export async function version(words: string[]): Promise<number> {
  if (words.length > 0) throw usageError('version takes no arguments')
  const { name, version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Record<
    string,
    string
  >
  await write(`${name} ${version}\n`)
  return exitCodes.done
}
