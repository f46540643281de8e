import { existsSync } from 'node:fs'
import { UsageError } from '../arguments.ts'

/** `horcrux bench`: runs bench/main.ts. */
export async function bench(words: string[]): Promise<number> {
  const program = new URL('../../bench/main.ts', import.meta.url)
  if (!existsSync(program)) throw new UsageError('there are no benchmarks in this copy of Horcrux')
  const { main } = (await import(program.href)) as { main: (words: string[]) => Promise<number> }
  return main(words)
}
