import { readFile } from 'node:fs/promises'
import { EJSON } from 'bson'
import type { Area, Question } from './questions.ts'

/** A question and the answers of a MongoDB, in the order of the commands. */
export type Recorded = Omit<Question, 'commands'> & { area: Area; commands: unknown[]; answers: string[] }

/** One question on each line, as MongoDB's extended JSON. */
export const recordedFile = new URL('recorded.jsonl', import.meta.url)

/** What MongoDB 7.0.15 has answered, see compare.ts. */
export async function recorded(): Promise<Recorded[]> {
  const lines = (await readFile(recordedFile, 'utf8')).trimEnd().split('\n')
  return lines.map((line) => EJSON.parse(line, { relaxed: false }) as Recorded)
}
