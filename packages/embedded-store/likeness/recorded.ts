import { readFile, writeFile } from 'node:fs/promises'
import { deserialize, serialize } from 'bson'
import type { Area, Question } from './questions.ts'

/** A question and the answers of a MongoDB, in the order of the commands. */
export type Recorded = { area: Area; question: Question; answers: string[] }

/** One on each line; the question as BSON, whose types JSON has not all. */
const file = new URL('recorded.jsonl', import.meta.url)

const TYPED = { promoteValues: false, promoteLongs: false, bsonRegExp: true }

type Line = { area: Area; bson: string; answers: string[] }

/** What MongoDB 7.0.15 has answered, see compare.ts. */
export async function recorded(): Promise<Recorded[]> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  return lines.map((line) => {
    const { area, bson, answers } = JSON.parse(line) as Line
    return { area, question: deserialize(Buffer.from(bson, 'base64'), TYPED) as Question, answers }
  })
}

/** Puts other answers in place of those that are recorded. */
export async function record(all: readonly Recorded[]): Promise<void> {
  const lines = all.map(({ area, question, answers }): Line => {
    const bson = Buffer.from(serialize(question, { ignoreUndefined: true })).toString('base64')
    return { area, bson, answers }
  })
  await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
}
